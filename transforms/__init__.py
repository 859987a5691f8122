"""Medical image transforms that MONAI lacks, and the pipelines that training, validation and inference share."""

from typing import TYPE_CHECKING

from .lazy import lazy_names

if TYPE_CHECKING:
    from .datasets import find_cases, make_folds, open_dataset, read_dataset, split_cases
    from .errors import VolumeError
    from .ignore import ClearIgnoredd
    from .inferers import MixedPrecisionInferer, WindowInferer
    from .io import LoadVolumed, WriteLabelsd, case_name, find_volumes, write_labels
    from .label_values import class_names
    from .patch_augmentation import augmentation
    from .pipelines import channel_preprocessing, ct_preprocessing, mri_preprocessing, postprocessing
    from .regions import LabelsToRegionsd, region_labels
    from .spatial import RestoreLabelsd, restore_labels

__all__ = [
    "ClearIgnoredd",
    "LabelsToRegionsd",
    "LoadVolumed",
    "MixedPrecisionInferer",
    "RestoreLabelsd",
    "VolumeError",
    "WindowInferer",
    "WriteLabelsd",
    "augmentation",
    "case_name",
    "channel_preprocessing",
    "class_names",
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

__getattr__ = lazy_names(
    __name__,
    {
        "patch_augmentation": ["augmentation"],
        "datasets": ["find_cases", "make_folds", "open_dataset", "read_dataset", "split_cases"],
        "errors": ["VolumeError"],
        "ignore": ["ClearIgnoredd"],
        "inferers": ["MixedPrecisionInferer", "WindowInferer"],
        "io": ["LoadVolumed", "WriteLabelsd", "case_name", "find_volumes", "write_labels"],
        "label_values": ["class_names"],
        "pipelines": ["channel_preprocessing", "ct_preprocessing", "mri_preprocessing", "postprocessing"],
        "regions": ["LabelsToRegionsd", "region_labels"],
        "spatial": ["RestoreLabelsd", "restore_labels"],
    },
)
