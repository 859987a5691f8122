"""Benchmarks: what networks, their parts and inference cost, and how well trained variants segment."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .ablated_mixers import DepthwiseMixer, NoBlock, NoMixer, without_mixer
    from .ablation import Ablation
    from .comparison import TrainingResult, compare_networks
    from .inference_cost import InferenceTask, measure_inference
    from .network_cost import measure_networks
    from .network_workload import NetworkTask
    from .variants import VARIANTS

__all__ = [
    "VARIANTS",
    "Ablation",
    "DepthwiseMixer",
    "InferenceTask",
    "NetworkTask",
    "NoBlock",
    "NoMixer",
    "TrainingResult",
    "compare_networks",
    "measure_inference",
    "measure_networks",
    "without_mixer",
]

__getattr__ = lazy_names(
    __name__,
    {
        "ablated_mixers": ["DepthwiseMixer", "NoBlock", "NoMixer", "without_mixer"],
        "ablation": ["Ablation"],
        "comparison": ["TrainingResult", "compare_networks"],
        "inference_cost": ["InferenceTask", "measure_inference"],
        "network_cost": ["measure_networks"],
        "network_workload": ["NetworkTask"],
        "variants": ["VARIANTS"],
    },
)
