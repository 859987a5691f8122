"""The commands: a dataclass each, whose fields are the options and whose `run()` does the work."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .bench_ablation import BenchAblation
    from .bench_inference import BenchInference
    from .bench_network import BenchNetwork
    from .command import Command
    from .crossval import Crossval
    from .demo import Demo
    from .evaluate import Evaluate
    from .export import Export
    from .info import Info
    from .pack import Pack
    from .plan import Plan
    from .predict import Predict
    from .report import Report
    from .train import Train

__all__ = [
    "BenchAblation",
    "BenchInference",
    "BenchNetwork",
    "Command",
    "Crossval",
    "Demo",
    "Evaluate",
    "Export",
    "Info",
    "Pack",
    "Plan",
    "Predict",
    "Report",
    "Train",
]

__getattr__ = lazy_names(
    __name__,
    {
        "bench_ablation": ["BenchAblation"],
        "bench_inference": ["BenchInference"],
        "bench_network": ["BenchNetwork"],
        "command": ["Command"],
        "crossval": ["Crossval"],
        "demo": ["Demo"],
        "evaluate": ["Evaluate"],
        "export": ["Export"],
        "info": ["Info"],
        "pack": ["Pack"],
        "plan": ["Plan"],
        "predict": ["Predict"],
        "report": ["Report"],
        "train": ["Train"],
    },
)
