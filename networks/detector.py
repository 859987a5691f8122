"""A box detector on the encoder of the segmentation network: a feature pyramid and MONAI's RetinaNet.

The pyramid is FPN (Lin et al. 2017, https://arxiv.org/abs/1612.03144, figure 3), the detector RetinaNet (Lin et al.
2017, https://arxiv.org/abs/1708.02002) in MONAI's three-dimensional version, with the adaptive matching of ATSS
(Zhang et al. 2020, https://arxiv.org/abs/1912.02424) and hard negative mining instead of the focal loss, as in
nnDetection (Baumgartner et al. 2021, https://arxiv.org/abs/2106.00817). Deviation: the pyramid has no scale coarser
than the encoder's coarsest.

A box is (D0, H0, W0, D1, H1, W1) in voxels of the image, from the first face of its first voxel to the last face of its
last voxel. MONAI calls it (xmin, ymin, zmin, xmax, ymax, zmax), where x is the first spatial axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape
from monai.apps.detection.utils.ATSS_matcher import ATSSMatcher
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork
from torch import Tensor, nn

from .hybrid_swin_unetr import Encoder, crop, pad
from .presets import create_model
from .validation import Triple, positive, triple

GROUPS = 8
"""Groups of the group normalisation in the heads of MONAI's RetinaNet."""
SMALLEST_ANCHOR = 2
"""In voxels: MONAI rounds half the length of an anchor, which for shorter ones is 0."""


class FeaturePyramid(nn.Module):
    """A feature pyramid over the coarsest scales of an encoder.

    `forward` maps images (B, C, D, H, W) of any size to a list of features (B, `out_channels`, D / s, H / s, W / s),
    finest first, where s is the total stride of a scale, rounded up.

    Publishes `out_channels`, `scales`, the total stride (D, H, W) of each level, and `stride`, that of the coarsest.

    Args:
        encoder: the encoder, new or trained.
        levels: number of scales.
        out_channels: channels of each level.

    Raises:
        ValueError: `levels` exceeds the encoder's scales, or a value is not a positive integer.
    """

    def __init__(self, encoder: Encoder, *, levels: int, out_channels: int) -> None:
        super().__init__()
        if positive(levels, "levels") > len(encoder.channels):
            raise ValueError(f"levels: {levels}: must be at most {len(encoder.channels)}, the encoder's scales")
        self.encoder = encoder
        self.out_channels = positive(out_channels, "out_channels")
        self.scales = encoder.scales[-levels:]
        self.stride = self.scales[-1]
        self.pyramid = FeaturePyramidNetwork(3, list(encoder.channels[-levels:]), out_channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = self.encoder(pad(image, self.stride))[-len(self.scales) :]
        levels = self.pyramid({str(level): x for level, x in enumerate(features)}).values()
        return [crop(x, image.shape[2:], scale) for x, scale in zip(levels, self.scales, strict=True)]


class HybridRetinaNet(RetinaNet):
    """MONAI's RetinaNet in three dimensions, on a feature pyramid.

    Its outputs are float32 even under autocast: MONAI makes anchors and boxes of the same type, and bfloat16 cannot
    represent odd numbers above 256.

    Args:
        pyramid: features for the heads.
        classes: kinds of objects, without the background.
        anchors: anchors per voxel of a level.

    Raises:
        ValueError: the pyramid's channels are not a multiple of the groups in MONAI's heads.
    """

    def __init__(self, pyramid: FeaturePyramid, *, classes: int, anchors: int) -> None:
        if pyramid.out_channels % GROUPS:
            raise ValueError(f"pyramid_channels: {pyramid.out_channels}: must be a multiple of {GROUPS}")
        super().__init__(3, positive(classes, "classes"), anchors, pyramid, size_divisible=pyramid.stride)

    def forward(self, images: Tensor) -> dict[str, list[Tensor]]:
        return {key: [x.float() for x in maps] for key, maps in super().forward(images).items()}


class HybridDetector(RetinaNetDetector):
    """MONAI's detector, made trainable without torchvision.

    MONAI checks first whether the matcher is torchvision's, which raises if torchvision is not installed, and suggests
    overriding this method for other matchers.
    """

    def compute_anchor_matched_idxs(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]], num_anchor_locs_per_level: Sequence[int]
    ) -> list[Tensor]:
        """Return for each image the index of the target box of each of its anchors (N), or -1."""
        matcher = self.proposal_matcher
        if not isinstance(matcher, ATSSMatcher):
            return super().compute_anchor_matched_idxs(anchors, targets, num_anchor_locs_per_level)
        matched = []
        for own, target in zip(anchors, targets, strict=True):
            boxes = target[self.target_box_key].to(own.device)
            matched.append(matcher(boxes, own, num_anchor_locs_per_level, self.num_anchors_per_loc)[1].to(own.device))
        return matched


def create_detector(
    preset: str = "small",
    *,
    in_channels: int,
    classes: int,
    anchor_shapes: Sequence[Sequence[int]],
    levels: int = 2,
    pyramid_channels: int = 64,
    **overrides: Any,
) -> HybridDetector:
    """Make a detector from a preset, ready for training and inference.

    In training it takes images, a list of (C, D, H, W) or (B, C, D, H, W), and for each a dict of `boxes` (N, 6),
    float, and `labels` (N), from 0, and returns a dict of the losses `classification` and `box_regression`. In
    evaluation it returns for each image a dict of `boxes`, `labels` and `labels_scores`, best first. Images may have
    any size.

    Matching, sampling and box selection are set as in MONAI's lung nodule detection; change them with MONAI's `set_...`
    methods. `set_sliding_window_inferer` is for volumes that do not fit into memory.

    Args:
        preset: one of `PRESETS`.
        in_channels: image channels.
        classes: kinds of objects, without the background.
        anchor_shapes: voxels of the anchors along (D, H, W) at the finest level, even numbers, as MONAI rounds; they
            double at each coarser level.
        levels: number of the encoder's scales, from the coarsest, that detect objects.
        pyramid_channels: channels of the feature pyramid and of the heads.
        overrides: fields of `NetworkConfig` to change from the preset.

    Returns:
        The detector, with random weights; `detector.network` has all parameters.

    Raises:
        ValueError: the preset or a field is unknown (the message lists the known ones), or a value breaks its rule.

    Examples:
        >>> from hybridseg.networks import create_detector
        >>> detector = create_detector("tiny", in_channels=1, classes=1, anchor_shapes=[(8, 8, 8), (4, 8, 8)])
        >>> target = {"boxes": torch.tensor([[4.0, 6, 2, 12, 14, 9]]), "labels": torch.tensor([0])}
        >>> sorted(detector(torch.zeros(1, 1, 20, 33, 17), [target]))
        ['box_regression', 'classification']
    """
    shapes = check_anchor_shapes(anchor_shapes)
    encoder = create_model(preset, in_channels=in_channels, out_channels=1, **overrides).encoder
    pyramid = FeaturePyramid(encoder, levels=levels, out_channels=positive(pyramid_channels, "pyramid_channels"))
    network = HybridRetinaNet(pyramid, classes=classes, anchors=len(shapes))
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    detector = HybridDetector(network, AnchorGeneratorWithAnchorShape([2**level for level in range(levels)], shapes))
    detector.set_atss_matcher(num_candidates=4, center_in_gt=False)
    detector.set_hard_negative_sampler(batch_size_per_image=64, positive_fraction=0.3, min_neg=16, pool_size=20)
    detector.set_box_selector_parameters(score_thresh=0.02, nms_thresh=0.22, detections_per_img=100)
    return detector


def check_anchor_shapes(anchor_shapes: Sequence[Sequence[int]]) -> list[Triple]:
    """Check that the anchor shapes have three lengths each, none too short for MONAI.

    Raises:
        ValueError: they do not; the message gives the value and the rule.
    """
    listed = isinstance(anchor_shapes, Sequence) and anchor_shapes
    if not listed or not all(isinstance(shape, Sequence) for shape in anchor_shapes):
        raise ValueError(f"anchor_shapes: {anchor_shapes!r}: must be a list of shapes, three lengths each")
    shapes = [triple(shape, "anchor_shapes") for shape in anchor_shapes]
    for shape in shapes:
        if min(shape) < SMALLEST_ANCHOR:
            raise ValueError(f"anchor_shapes: {shape}: must be at least {SMALLEST_ANCHOR} voxels long")
    return shapes
