"""Segment volumes with a bundle, write what was found, export the network."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .cohort import segment_cases
    from .export import export_network
    from .outputs import Outputs
    from .predictor import Predictor
    from .run_record import RunRecord

__all__ = [
    "Outputs",
    "Predictor",
    "RunRecord",
    "export_network",
    "segment_cases",
]

__getattr__ = lazy_names(
    __name__,
    {
        "cohort": ["segment_cases"],
        "export": ["export_network"],
        "outputs": ["Outputs"],
        "predictor": ["Predictor"],
        "run_record": ["RunRecord"],
    },
)
