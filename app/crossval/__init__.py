"""Cross-validation: folds, their trainings, out-of-fold predictions, and the bundle that is made of them."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .configuration import Configuration, choose_configuration, measure_configuration
    from .out_of_fold import score_maps, write_case_list
    from .result import decision_lines, write_record, write_report, write_result
    from .scores import as_good, case_dice, compare, fold_table, worst_cases
    from .split import Split, bundle_split_file, make_split, read_cases, read_split, write_split
    from .trainings import Training, choose_devices, train_folds

__all__ = [
    "Configuration",
    "Split",
    "Training",
    "as_good",
    "bundle_split_file",
    "case_dice",
    "choose_configuration",
    "choose_devices",
    "compare",
    "decision_lines",
    "fold_table",
    "make_split",
    "measure_configuration",
    "read_cases",
    "read_split",
    "score_maps",
    "train_folds",
    "worst_cases",
    "write_case_list",
    "write_record",
    "write_report",
    "write_result",
    "write_split",
]

__getattr__ = lazy_names(
    __name__,
    {
        "configuration": ["Configuration", "choose_configuration", "measure_configuration"],
        "out_of_fold": ["score_maps", "write_case_list"],
        "result": ["decision_lines", "write_record", "write_report", "write_result"],
        "scores": ["as_good", "case_dice", "compare", "fold_table", "worst_cases"],
        "split": ["Split", "bundle_split_file", "make_split", "read_cases", "read_split", "write_split"],
        "trainings": ["Training", "choose_devices", "train_folds"],
    },
)
