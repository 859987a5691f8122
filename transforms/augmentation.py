"""Augmentation: random training patches from a preprocessed case."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandAdjustContrastd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
)

from .patches import RandPatchesd
from .pipelines import IMAGE, LABEL
from .regions import LabelsToRegionsd, Regions
from .rotation import RandRotateScaled


def augmentation(
    *,
    patch_size: Sequence[int],
    classes: int,
    patches: int = 1,
    rotation: Sequence[float] = (15.0, 15.0, 15.0),
    scaling: float = 0.2,
    flip_axes: Sequence[int] = (),
    intensity: float = 1.0,
    padding: float = 0.0,
    regions: Regions | None = None,
) -> Compose:
    """Crop random patches from a preprocessed case, half of them centred on a label, and augment them.

    Each label of a case is equally likely, so small organs are seen as often as large ones. The voxels of each label
    are found once and cached with the case.

    Noise, blur, brightness, low resolution and gamma follow nnU-Net (Isensee et al. 2021, supplementary note 4), but
    milder and by MONAI's transforms. When a patch is rotated and scaled, the share of each label in a voxel is
    interpolated and the greatest share wins, so the surfaces of labels stay smooth.

    Args:
        patch_size: voxels along (D, H, W); smaller volumes are padded.
        classes: number of labels, background included.
        patches: patches per case.
        rotation: largest rotation about each axis (D, H, W), in degrees.
        scaling: largest relative change of size.
        flip_axes: axes to mirror with probability 1/2; only where mirroring keeps every label right.
        intensity: factor on the probabilities of the intensity changes.
        padding: intensity around smaller volumes, as scaled by preprocessing: air, for CT.
        regions: convert the labels to these regions as the last step, when they take the memory of a patch only.

    Returns:
        A random pipeline from `image` and `label` to a list of `patches` of them, as plain tensors.
    """
    both = [IMAGE, LABEL]
    return Compose(
        [
            RandPatchesd(both, LABEL, patch_size, patches, padding),
            RandRotateScaled(IMAGE, LABEL, prob=0.5, rotation=rotation, scaling=scaling),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in flip_axes),
            RandGaussianNoised(IMAGE, prob=0.1 * intensity, std=0.1),
            RandGaussianSmoothd(IMAGE, prob=0.1 * intensity, sigma_x=(0.5, 1), sigma_y=(0.5, 1), sigma_z=(0.5, 1)),
            RandScaleIntensityd(IMAGE, prob=0.15 * intensity, factors=0.25),
            RandSimulateLowResolutiond(IMAGE, prob=0.1 * intensity, zoom_range=(0.5, 1.0)),
            RandAdjustContrastd(IMAGE, prob=0.2 * intensity, gamma=(0.7, 1.5), retain_stats=True),
            *([LabelsToRegionsd(LABEL, regions)] if regions is not None else []),
            EnsureTyped(both, dtype=torch.float32, track_meta=False),
        ]
    )
