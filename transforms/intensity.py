"""Intensities of CT (HU), PET (SUV) and MRI (arbitrary units): body masks, z-score, bias field."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.transforms.utils_pytorch_numpy_unification import percentile
from monai.utils import ImageMetaKey

from .errors import VolumeError
from .grid import voxel_lengths

AIR_HU = -500.0
AIR_SUV = 0.2
"""Above air in CT and in PET, and below soft tissue."""

THINNEST = 4
"""Fewest voxels along an axis for which a bias field can be estimated."""


def mri_body(image: torch.Tensor, fraction: float = 0.1) -> torch.Tensor:
    """Mask the voxels of an MRI that are brighter than air.

    The threshold lies `fraction` of the way from the 0.5th to the 99.5th percentile of a channel, so scaling or
    shifting the intensities does not change the mask.

    Args:
        image: intensities (C, D, H, W), in the scanner's arbitrary unit.
        fraction: position of the threshold between dark and bright.

    Returns:
        Mask (C, D, H, W), boolean.
    """
    low, high = (torch.stack([torch.as_tensor(percentile(channel, q)) for channel in image]) for q in (0.5, 99.5))
    return image > (low + fraction * (high - low)).to(image).view(-1, 1, 1, 1)


def ct_body(image: torch.Tensor) -> torch.Tensor:
    """Mask the voxels of a CT (C, D, H, W), in HU, that are denser than air and lung."""
    return image > AIR_HU


def pet_body(image: torch.Tensor) -> torch.Tensor:
    """Mask the voxels of a PET (C, D, H, W), in SUV, with more uptake than air."""
    return image > AIR_SUV


def has_body(mask: torch.Tensor) -> bool:
    """Return whether each channel of a mask (C, D, H, W) has voxels."""
    return bool(mask.flatten(1).any(1).all())


def no_body(image: torch.Tensor) -> VolumeError:
    """Return the error for an image (C, D, H, W) with a channel of air."""
    path = image.meta.get(ImageMetaKey.FILENAME_OR_OBJ) if isinstance(image, MetaTensor) else None
    return VolumeError(path or "image", "no voxel brighter than air", "there must be a body")


def z_score_body(image: torch.Tensor) -> torch.Tensor:
    """Scale each channel of an MRI (C, D, H, W) to mean 0 and standard deviation 1 over the voxels of the body.

    All voxels are shifted and scaled, also those outside the body. A channel with a uniform body is only centred.

    Raises:
        VolumeError: a channel has no voxel brighter than air.
    """
    bodies = mri_body(image)
    if not has_body(bodies):
        raise no_body(image)
    values = [channel[body] for channel, body in zip(image, bodies, strict=True)]
    mean = torch.stack([value.mean() for value in values]).view(-1, 1, 1, 1)
    deviation = torch.stack([value.std(correction=0) for value in values]).view(-1, 1, 1, 1)
    return (image - mean) / deviation.where(deviation > 0, torch.ones_like(deviation))


class ZScoreBodyd(MapTransform):
    """Scale each channel of an MRI by `z_score_body`.

    Args:
        keys: images (C, D, H, W).
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        VolumeError: when called with an image that has a channel without a voxel brighter than air.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            case[key] = z_score_body(case[key])
        return case


class CorrectBiasFieldd(MapTransform):
    """Correct the bias field of MRI, the slow brightness change left by a receive coil, by N4 (Tustison et al. 2010).

    SimpleITK estimates the field over the body on a copy shrunk to about `resolution` mm; it is divided out at full
    resolution. A volume takes seconds instead of minutes. A volume of fewer than four voxels along an axis is left
    unchanged.

    Args:
        keys: images (C, D, H, W) with an affine in mm.
        resolution: voxel size in mm at which the field is estimated; finer voxels are shrunk by a whole factor.
        iterations: most iterations at each scale of the field.
        allow_missing_keys: skip keys that a case lacks.
    """

    def __init__(
        self,
        keys: KeysCollection,
        resolution: float = 6.0,
        iterations: tuple[int, ...] = (50, 50, 50),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.resolution = resolution
        self.iterations = iterations

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            image: MetaTensor = case[key]
            spacing = voxel_lengths(image.affine.cpu().numpy()).tolist()
            fields = [self.field(channel, spacing) for channel in image]
            case[key] = image / torch.stack(fields)
        return case

    def field(self, channel: torch.Tensor, spacing: list[float]) -> torch.Tensor:
        """Estimate the multiplicative bias field (D, H, W) of a channel (D, H, W) with voxels of `spacing` mm."""
        if min(channel.shape) < THINNEST:
            return torch.ones_like(channel)
        volume = sitk.GetImageFromArray(np.asarray(channel.cpu(), dtype=np.float32))
        volume.SetSpacing(spacing[::-1])
        body = sitk.GetImageFromArray(np.asarray(mri_body(channel[None])[0].cpu(), dtype=np.uint8))
        body.CopyInformation(volume)
        shrink = [
            max(1, min(round(self.resolution / mm), size // 8))
            for mm, size in zip(spacing[::-1], volume.GetSize(), strict=True)
        ]
        corrector = sitk.N4BiasFieldCorrectionImageFilter()
        corrector.SetMaximumNumberOfIterations(self.iterations)
        corrector.Execute(sitk.Shrink(volume, shrink), sitk.Shrink(body, shrink))
        logarithm = sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(volume))
        return torch.as_tensor(np.exp(logarithm), dtype=channel.dtype, device=channel.device)
