"""Dataset folders and their layouts, splits and folds, and the cases to predict."""

from .dataset import Dataset, LabelledCase, open_dataset, read_dataset
from .folds import make_folds
from .input_case import InputCase
from .inputs import find_cases
from .splits import split_cases

__all__ = [
    "Dataset",
    "InputCase",
    "LabelledCase",
    "find_cases",
    "make_folds",
    "open_dataset",
    "read_dataset",
    "split_cases",
]
