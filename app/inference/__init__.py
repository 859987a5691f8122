"""Segment volumes with a bundle, write the results, record the run, and export the network."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .cohort import CaseStatus, PredictedCase, segment_cases
    from .export import export_network
    from .outputs import Outputs
    from .predictor import Predictor
    from .run_record import RunRecord

__all__ = [
    "CaseStatus",
    "Outputs",
    "PredictedCase",
    "Predictor",
    "RunRecord",
    "export_network",
    "segment_cases",
]

__getattr__ = lazy_names(
    __name__,
    {
        "cohort": ["CaseStatus", "PredictedCase", "segment_cases"],
        "export": ["export_network"],
        "outputs": ["Outputs"],
        "predictor": ["Predictor"],
        "run_record": ["RunRecord"],
    },
)
