"""What MONAI lacks between files and arrays, and the pipelines that training, validation and inference share."""

from .augmentation import augmentation
from .datasets.dataset import open_dataset, read_dataset
from .datasets.folds import make_folds
from .datasets.inputs import find_cases
from .datasets.splits import split_cases
from .errors import VolumeError
from .inferers import MixedPrecisionInferer, WindowInferer
from .io.load import LoadVolumed
from .io.names import case_name, find_volumes
from .io.save import WriteLabelsd, write_labels
from .pipelines import ct_preprocessing, mri_preprocessing, postprocessing
from .regions import LabelsToRegionsd, region_labels
from .spatial.restore import RestoreLabelsd, restore_labels

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
