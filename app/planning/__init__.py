"""From a dataset to the settings of a bundle: survey, fingerprint, topology, step cost, decisions."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .case_fingerprint import CaseFingerprint
    from .dataset_fingerprint import DatasetFingerprint
    from .planner import Planner

__all__ = [
    "CaseFingerprint",
    "DatasetFingerprint",
    "Planner",
]

__getattr__ = lazy_names(
    __name__,
    {
        "case_fingerprint": ["CaseFingerprint"],
        "dataset_fingerprint": ["DatasetFingerprint"],
        "planner": ["Planner"],
    },
)
