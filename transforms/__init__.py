"""What MONAI lacks between files and arrays, and the pipelines that training, validation and inference share."""

from .cases import case_name, find_volumes
from .cohort import find_cases
from .datasets import open_dataset, read_dataset
from .errors import VolumeError
from .folds import make_folds
from .inferers import MixedPrecisionInferer
from .loading import LoadVolumed
from .pipelines import augmentation, ct_preprocessing, mri_preprocessing, postprocessing
from .regions import LabelsToRegionsd, region_labels
from .restoring import RestoreLabelsd, restore_labels
from .sliding_window import WindowInferer
from .splits import split_cases
from .writing import WriteLabelsd, write_labels

__all__ = [
    "LabelsToRegionsd",
    "LoadVolumed",
    "MixedPrecisionInferer",
    "RestoreLabelsd",
    "VolumeError",
    "WindowInferer",
    "WriteLabelsd",
    "augmentation",
    "case_name",
    "ct_preprocessing",
    "find_cases",
    "find_volumes",
    "make_folds",
    "mri_preprocessing",
    "open_dataset",
    "postprocessing",
    "read_dataset",
    "region_labels",
    "restore_labels",
    "split_cases",
    "write_labels",
]
