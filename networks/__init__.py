"""The network family: hybrids of convolution and shifted-window attention for 3D segmentation."""

from .attention import PROJECTIONS
from .blocks import DOWNSAMPLINGS, FEED_FORWARDS
from .config import NetworkConfig
from .fusion import FUSIONS
from .hybrid_swin_unetr import HybridSwinUNETR
from .mixers import MIXERS
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
    "HybridSwinUNETR",
    "NetworkConfig",
    "create_model",
]
