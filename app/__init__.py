"""The application: segment, plan, train, measure, report and export, from Python and notebooks."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .bundling import pack_bundle
    from .commands import Crossval, Evaluate, Export, Info, Pack, Plan, Predict, Report, Train
    from .evaluation import score_files
    from .figures import SliceViewer, draw_case
    from .inference import Predictor, export_network
    from .planning import PlanOptions, plan_bundle, survey_dataset

__all__ = [
    "Crossval",
    "Evaluate",
    "Export",
    "Info",
    "Pack",
    "Plan",
    "PlanOptions",
    "Predict",
    "Predictor",
    "Report",
    "SliceViewer",
    "Train",
    "draw_case",
    "export_network",
    "pack_bundle",
    "plan_bundle",
    "score_files",
    "survey_dataset",
]

__getattr__ = lazy_names(
    __name__,
    {
        "bundling": ["pack_bundle"],
        "commands": ["Crossval", "Evaluate", "Export", "Info", "Pack", "Plan", "Predict", "Report", "Train"],
        "evaluation": ["score_files"],
        "figures": ["SliceViewer", "draw_case"],
        "inference": ["Predictor", "export_network"],
        "planning": ["PlanOptions", "plan_bundle", "survey_dataset"],
    },
)
