"""The network family: hybrids of convolution and shifted-window attention for 3D segmentation."""

from .blocks import DOWNSAMPLINGS
from .classifier import HybridClassifier, create_classifier
from .config import NetworkConfig
from .detector import create_detector
from .feed_forward import FEED_FORWARDS
from .fusion import FUSIONS
from .hybrid_swin_unetr import HybridSwinUNETR
from .mixers import MIXERS
from .mixers.projections import PROJECTIONS
from .presets import PRESETS, create_model
from .stems import STEMS

__all__ = [
    "DOWNSAMPLINGS",
    "FEED_FORWARDS",
    "FUSIONS",
    "MIXERS",
    "PRESETS",
    "PROJECTIONS",
    "STEMS",
    "HybridClassifier",
    "HybridSwinUNETR",
    "NetworkConfig",
    "create_classifier",
    "create_detector",
    "create_model",
]
