"""Augmentation: from a preprocessed case to random training patches."""

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
"""Voxels of each label, evenly spread, that are kept to centre patches on."""


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
    """From a preprocessed case to training patches, half of them centred on a label, moved, and disturbed.

    Each label that a case has is as likely as the others, so that small organs are seen as often as large ones. Where
    labels lie is found once and cached with the case, not anew for every patch.

    Noise, blur, brightness, low resolution and gamma after nnU-Net (Isensee et al. 2021, supplementary note 4), milder,
    by MONAI's transforms. Where a patch is rotated and scaled, the share of each label in a voxel is interpolated, and
    the greatest share wins: the surface of a label stays as smooth as it was.

    Args:
        patch_size: voxels along (D, H, W); smaller volumes are padded.
        classes: labels with the background.
        patches: patches taken from one case.
        rotation: largest rotation about each axis (D, H, W), in degrees.
        scaling: largest relative change of size.
        flip_axes: axes to mirror with probability 1/2; only where mirroring leaves every label true.
        intensity: probability of the intensity changes, relative to the recipe's.
        padding: intensity around smaller volumes, as preprocessing has scaled it: air, for CT.
        regions: turn the labels into these regions at the end, when they take the memory of a patch only.

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
    """MONAI's, where half of the patches are centred on a label whichever a case has, and each of these is as likely.

    By ratios that are the same for all cases, the background gets the share of each label that a case lacks. Needs
    `indices_key`: where labels lie is found by `ClassesToIndicesd`, once for a case that is cached.
    """

    def randomize(self, label: Any, indices: Any = None, image: Any = None) -> None:
        """Choose the centres for a case, by the indices of its voxels with each label, the background first."""
        labels = [1 if len(voxels) else 0 for voxels in indices[1:]]
        ratios: list[float | int] = [max(1, sum(labels)), *labels]
        self.cropper.ratios = ratios
        super().randomize(label, indices, image)


class LabelsToSharesd(MapTransform):
    """A channel for each label that occurs: 1 where it is, 0 elsewhere.

    MONAI's `AsDiscreted` makes one for every label there may be: of a hundred, a patch has a few, and all have to be
    interpolated. The numbers of those that occur go to the entry `<key>_numbers`, for `SharesToLabelsd`.

    Args:
        keys: entries with labels (1, D, H, W).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        done = dict(data)
        for key in self.key_iterator(done):
            numbers = convert_to_tensor(done[key], track_meta=False).unique()  # ascending
            done[numbers_of(key)] = numbers
            done[key] = (done[key] == numbers.view(-1, 1, 1, 1)).to(numbers.dtype)
        return done


class SharesToLabelsd(MapTransform):
    """The label with the greatest share in a voxel, the lowest of equals: the inverse of `LabelsToSharesd`.

    Args:
        keys: entries with shares (K, D, H, W), which become labels (1, D, H, W).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        done = dict(data)
        for key in self.key_iterator(done):
            done[key] = done.pop(numbers_of(key))[done[key].argmax(dim=0, keepdim=True)]
        return done


def numbers_of(key: Hashable) -> str:
    """The entry with the numbers of the labels that have shares."""
    return f"{key}_numbers"
