"""Planning: from a dataset to a bundle that is ready to train on it."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .case_fingerprint import CaseFingerprint
    from .dataset_fingerprint import DatasetFingerprint, summarise_cases
    from .options import PlanOptions
    from .plan import BundlePlan, plan_bundle
    from .planner import Decision, Planner
    from .survey import survey_dataset
    from .timing import Timing, describe_timing

__all__ = [
    "BundlePlan",
    "CaseFingerprint",
    "DatasetFingerprint",
    "Decision",
    "PlanOptions",
    "Planner",
    "Timing",
    "describe_timing",
    "plan_bundle",
    "summarise_cases",
    "survey_dataset",
]

__getattr__ = lazy_names(
    __name__,
    {
        "case_fingerprint": ["CaseFingerprint"],
        "dataset_fingerprint": ["DatasetFingerprint", "summarise_cases"],
        "options": ["PlanOptions"],
        "plan": ["BundlePlan", "plan_bundle"],
        "planner": ["Decision", "Planner"],
        "survey": ["survey_dataset"],
        "timing": ["Timing", "describe_timing"],
    },
)
