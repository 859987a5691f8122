"""Dataset folders and their layouts, splits and folds, and the cases to predict."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
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

__getattr__ = lazy_names(
    __name__,
    {
        "dataset": ["Dataset", "LabelledCase", "open_dataset", "read_dataset"],
        "folds": ["make_folds"],
        "input_case": ["InputCase"],
        "inputs": ["find_cases"],
        "splits": ["split_cases"],
    },
)
