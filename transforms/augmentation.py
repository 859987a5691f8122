"""Augmentation: random training patches from a preprocessed case."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import (
    ClassesToIndicesd,
    Compose,
    EnsureTyped,
    MapTransform,
    RandAdjustContrastd,
    RandAffined,
    RandCropByLabelClassesd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandSimulateLowResolutiond,
    SpatialPadd,
)
from monai.utils import convert_to_tensor

from .pipelines import IMAGE, LABEL
from .regions import LabelsToRegionsd, Regions

CENTRES = 10_000
"""Most voxels of each label, evenly spread, that are kept as possible patch centres."""


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
            SpatialPadd(IMAGE, patch_size, value=padding),
            SpatialPadd(LABEL, patch_size),
            ClassesToIndicesd(LABEL, num_classes=classes, max_samples_per_class=CENTRES),
            RandCropByLabelsd(
                both,
                label_key=LABEL,
                spatial_size=patch_size,
                num_classes=classes,
                num_samples=patches,
                indices_key=f"{LABEL}_cls_indices",
                warn=False,
            ),
            LabelsToSharesd(LABEL),
            RandAffined(
                both,
                prob=0.5,
                rotate_range=np.deg2rad(rotation).tolist(),
                scale_range=[scaling] * 3,
                mode="bilinear",
                padding_mode="border",
            ),
            SharesToLabelsd(LABEL),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in flip_axes),
            RandGaussianNoised(IMAGE, prob=0.1 * intensity, std=0.1),
            RandGaussianSmoothd(IMAGE, prob=0.1 * intensity, sigma_x=(0.5, 1), sigma_y=(0.5, 1), sigma_z=(0.5, 1)),
            RandScaleIntensityd(IMAGE, prob=0.15 * intensity, factors=0.25),
            RandSimulateLowResolutiond(IMAGE, prob=0.1 * intensity, zoom_range=(0.5, 1.0)),
            RandAdjustContrastd(IMAGE, prob=0.2 * intensity, gamma=(0.7, 1.5), retain_stats=True),
            *([LabelsToRegionsd(LABEL, regions)] if regions is not None else []),
            EnsureTyped(both, track_meta=False),
        ]
    )


class RandCropByLabelsd(RandCropByLabelClassesd):
    """MONAI's RandCropByLabelClassesd with ratios per case: half of the patches centre on a label, all equally likely.

    With the same ratios for all cases, the background would get the share of each label that a case lacks. Needs
    `indices_key`, filled by `ClassesToIndicesd` once per cached case.
    """

    def randomize(self, label: Any, indices: Any = None, image: Any = None) -> None:
        """Draw the centres for a case from the voxel indices of each label, background first."""
        labels = [1 if len(voxels) else 0 for voxels in indices[1:]]
        ratios: list[float | int] = [max(1, sum(labels)), *labels]
        self.cropper.ratios = ratios
        super().randomize(label, indices, image)


class LabelsToSharesd(MapTransform):
    """One-hot encode the labels (1, D, H, W) that occur in a patch as shares (K, D, H, W), one channel each.

    MONAI's `AsDiscreted` makes a channel for every possible label; of a hundred, a patch has a few, and every channel
    would be interpolated. The numbers of the labels go to the entry `<key>_numbers`, for `SharesToLabelsd`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            numbers = convert_to_tensor(case[key], track_meta=False).unique()  # ascending
            case[numbers_of(key)] = numbers
            case[key] = (case[key] == numbers.view(-1, 1, 1, 1)).to(numbers.dtype)
        return case


class SharesToLabelsd(MapTransform):
    """Turn shares (K, D, H, W) into labels (1, D, H, W): the greatest share wins, the lowest label of equals.

    The inverse of `LabelsToSharesd`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            case[key] = case.pop(numbers_of(key))[case[key].argmax(dim=0, keepdim=True)]
        return case


def numbers_of(key: Hashable) -> str:
    """Return the key of the entry with the numbers of the labels."""
    return f"{key}_numbers"
