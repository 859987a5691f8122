"""The network family: hybrids of convolution and shifted-window attention for 3D segmentation."""

from .blocks import DOWNSAMPLINGS
from .classifier import HybridClassifier, create_classifier
from .config import NetworkConfig
from .detector import create_detector
from .ensemble import Ensemble, average_weights, ensemble_weights
from .feed_forward import FEED_FORWARDS
from .fusion import FUSIONS, Fusion
from .hybrid_swin_unetr import HybridSwinUNETR
from .mixers import MIXERS, PROJECTIONS, BlockContext, Mixer
from .presets import PRESETS, create_model
from .stems import STEMS, Stem
from .weights import LoadedWeights, WeightsError, load_matching, load_weights, read_tensors, read_weights

__all__ = [
    "DOWNSAMPLINGS",
    "FEED_FORWARDS",
    "FUSIONS",
    "MIXERS",
    "PRESETS",
    "PROJECTIONS",
    "STEMS",
    "BlockContext",
    "Ensemble",
    "Fusion",
    "HybridClassifier",
    "HybridSwinUNETR",
    "LoadedWeights",
    "Mixer",
    "NetworkConfig",
    "Stem",
    "WeightsError",
    "average_weights",
    "create_classifier",
    "create_detector",
    "create_model",
    "ensemble_weights",
    "load_matching",
    "load_weights",
    "read_tensors",
    "read_weights",
]
