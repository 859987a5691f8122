"""HybridClassifier: classify a whole image with the encoder of the segmentation network.

One backbone for several tasks, as in CMT (Guo et al. 2022, https://arxiv.org/abs/2107.06263, sections 3.1 and 4):
stages, global average pooling, a linear layer. Deviations: all scales are pooled, not only the coarsest, and the pooled
channels are normalised as one vector instead of projected again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .config import NetworkConfig
from .hybrid_swin_unetr import Encoder, crop, initialise, pad
from .presets import create_model
from .validation import positive


class HybridClassifier(nn.Module):
    """The encoder, the mean of each channel at each scale, layer normalisation, and a linear layer.

    `forward` maps images (B, C, D, H, W) of any size to logits (B, K). The encoder's parameters are those of
    a segmentation network, so `classifier.encoder.load_state_dict(model.encoder.state_dict())` loads pretrained
    weights.

    Args:
        config: the network's configuration, `out_channels` being the number of classes; fields of the decoder are
            ignored. `create_classifier` makes one from a preset.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.scales = self.encoder.scales
        self.stride = self.scales[-1]
        self.norm = nn.LayerNorm(sum(self.encoder.channels))
        self.head = nn.Linear(sum(self.encoder.channels), config.out_channels)
        self.apply(initialise)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder(pad(image, self.stride))
        pooled = [
            crop(x, image.shape[2:], scale).mean(dim=(2, 3, 4)) for x, scale in zip(features, self.scales, strict=True)
        ]
        return self.head(self.norm(torch.cat(pooled, dim=1)))  # (B, channels of all scales) to (B, K)


def create_classifier(preset: str = "small", *, in_channels: int, classes: int, **overrides: Any) -> HybridClassifier:
    """Make a classifier from a preset.

    Args:
        preset: one of `PRESETS`.
        in_channels: image channels.
        classes: number of classes.
        overrides: fields of `NetworkConfig` to change from the preset.

    Returns:
        The network, with random weights.

    Raises:
        ValueError: the preset or a field is unknown (the message lists the known ones), or a value breaks its rule.

    Examples:
        >>> from hybridseg.networks import create_classifier
        >>> classifier = create_classifier("tiny", in_channels=1, classes=4)
        >>> classifier(torch.zeros(2, 1, 20, 33, 17)).shape
        torch.Size([2, 4])
    """
    positive(classes, "classes")
    return HybridClassifier(create_model(preset, in_channels=in_channels, out_channels=classes, **overrides).config)
