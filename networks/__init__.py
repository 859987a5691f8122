"""The network family: hybrids of convolution and shifted-window attention for 3D segmentation."""

from .config import NetworkConfig
from .hybrid_swin_unetr import HybridSwinUNETR
from .mixers import MIXERS
from .presets import PRESETS, create_model
from .stems import STEMS

__all__ = ["MIXERS", "PRESETS", "STEMS", "HybridSwinUNETR", "NetworkConfig", "create_model"]
