"""Cross-validation: folds, their trainings, out-of-fold predictions, and the bundle that is made of them."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .bundles import check_bundles
    from .conclusion import Conclusion
    from .out_of_fold import write_case_list
    from .split import Split, bundle_split_file, make_split, read_cases, read_split, write_split
    from .trainings import Training, choose_devices, fold_folder, train_folds

__all__ = [
    "Conclusion",
    "Split",
    "Training",
    "bundle_split_file",
    "check_bundles",
    "choose_devices",
    "fold_folder",
    "make_split",
    "read_cases",
    "read_split",
    "train_folds",
    "write_case_list",
    "write_split",
]

__getattr__ = lazy_names(
    __name__,
    {
        "bundles": ["check_bundles"],
        "conclusion": ["Conclusion"],
        "out_of_fold": ["write_case_list"],
        "split": ["Split", "bundle_split_file", "make_split", "read_cases", "read_split", "write_split"],
        "trainings": ["Training", "choose_devices", "fold_folder", "train_folds"],
    },
)
