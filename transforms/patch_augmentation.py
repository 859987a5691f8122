"""Augmentation: random training patches from a preprocessed case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from monai.transforms import (
    Compose,
    ConcatItemsd,
    DeleteItemsd,
    EnsureTyped,
    RandAdjustContrastd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
    SplitDimd,
    Transform,
)

from .padding import Padding
from .patches import RandPatchesd
from .pipelines import IMAGE, LABEL
from .regions import LabelsToRegionsd, Regions
from .rotation import RandRotateScaled


@dataclass(frozen=True, kw_only=True)
class IntensityChanges:
    """How far the intensities of a patch are changed.

    Args:
        noise: standard deviation of Gaussian noise.
        brightness: largest relative change of all intensities.
        gamma: range of the exponent that changes the contrast; None leaves it.
    """

    noise: float = 0.1
    brightness: float = 0.25
    gamma: tuple[float, float] | None = (0.7, 1.5)


CHANGES: Mapping[str, IntensityChanges] = {
    "CT": IntensityChanges(brightness=0.1, gamma=(0.85, 1.2)),
    "PET": IntensityChanges(noise=0.05, gamma=None),
    "MRI": IntensityChanges(),
}
"""Changes by modality, where channels differ: small ones for HU, which are calibrated; SUV are scaled, as by another
uptake time, but keep their ratios."""


def augmentation(
    *,
    patch_size: Sequence[int],
    patches: int = 1,
    rotation: Sequence[float] = (15.0, 15.0, 15.0),
    scaling: float = 0.2,
    flip_axes: Sequence[int] = (),
    intensity: float = 1.0,
    padding: Padding = 0.0,
    modalities: Sequence[str] = (),
    regions: Regions | None = None,
    labels: Iterable[int | str] | None = None,
    ignore: int | None = None,
) -> Compose:
    """Crop random patches from a preprocessed case, half of them centred on a label, and augment them.

    Each label of a case is equally likely, so small organs are seen as often as large ones. The voxels of each label
    are found once and cached with the case.

    Noise, blur, brightness, low resolution and gamma follow nnU-Net (Isensee et al. 2021, supplementary note 4), but
    milder and by MONAI's transforms. When a patch is rotated and scaled, the share of each label in a voxel is
    interpolated and the greatest share wins, so the surfaces of labels stay smooth. Voxels without annotation have a
    share like a label: where it is the greatest, the result is without annotation too.

    Args:
        patch_size: voxels along (D, H, W); smaller volumes are padded.
        patches: patches per case.
        rotation: largest rotation about each axis (D, H, W), in degrees.
        scaling: largest relative change of size.
        flip_axes: axes to mirror with probability 1/2; only where mirroring keeps every label right.
        intensity: factor on the probabilities of the intensity changes.
        padding: intensity around smaller volumes, as scaled by preprocessing: air, for CT. Or one for each channel.
        modalities: `CT`, `PET` or `MRI` of each channel, whose intensities are then changed by themselves, as suits the
            modality. Empty changes those of all channels together.
        regions: convert the labels to these regions as the last step, when they take the memory of a patch only.
        labels: values of all labels, needed with `regions` if the label map has been numbered; see
            `LabelsToRegionsd`.
        ignore: number of the voxels without annotation, which the loss leaves out; no patch is centred on one.

    Returns:
        A random pipeline from `image` and `label` to a list of `patches` of them, as plain tensors.
    """
    both = [IMAGE, LABEL]
    return Compose(
        [
            RandPatchesd(both, LABEL, patch_size, patches, padding, ignore),
            RandRotateScaled(IMAGE, LABEL, prob=0.5, rotation=rotation, scaling=scaling),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in flip_axes),
            *(change_channels(modalities, intensity) if modalities else change_intensities(IMAGE, intensity)),
            *([LabelsToRegionsd(LABEL, regions, labels, ignore)] if regions is not None else []),
            EnsureTyped(both, dtype=torch.float32, track_meta=False),
        ]
    )


def change_intensities(key: str, intensity: float, changes: IntensityChanges | None = None) -> list[Transform]:
    """Return random changes of intensities: noise, blur, brightness, low resolution, contrast.

    Args:
        key: entry of the image (C, D, H, W).
        intensity: factor on their probabilities.
        changes: how far they go.
    """
    changes = changes or IntensityChanges()
    transforms: list[Transform] = [
        RandGaussianNoised(key, prob=0.1 * intensity, std=changes.noise),
        RandGaussianSmoothd(key, prob=0.1 * intensity, sigma_x=(0.5, 1), sigma_y=(0.5, 1), sigma_z=(0.5, 1)),
        RandScaleIntensityd(key, prob=0.15 * intensity, factors=changes.brightness),
        RandSimulateLowResolutiond(key, prob=0.1 * intensity, zoom_range=(0.5, 1.0)),
    ]
    if changes.gamma is not None:
        transforms.append(RandAdjustContrastd(key, prob=0.2 * intensity, gamma=changes.gamma, retain_stats=True))
    return transforms


def change_channels(modalities: Sequence[str], intensity: float) -> list[Transform]:
    """Return random changes of each channel by itself, as suits its modality; see `change_intensities`."""
    numbers = [str(index) for index in range(len(modalities))]
    keys = [f"{IMAGE}_{number}" for number in numbers]
    changed = [
        step
        for key, modality in zip(keys, modalities, strict=True)
        for step in change_intensities(key, intensity, CHANGES[modality])
    ]
    return [SplitDimd(IMAGE, numbers), *changed, ConcatItemsd(keys, IMAGE), DeleteItemsd(keys)]
