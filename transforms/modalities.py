"""What intensities mean in each modality, and what follows: body, normalisation, air, and values that cannot be right.

HU in CT and SUV in PET mean the same in every volume, so they are scaled alike in all; those of MRI mean something
within a volume only, so each is scaled by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, ScaleIntensityRange
from monai.utils import ImageMetaKey

from .errors import VolumeError, warn_of_volume
from .intensity import ct_body, mri_body, no_body, pet_body, z_score_body
from .io.load import elsewhere

SUV_HIGHEST = 20.0
"""SUV above it are clipped: few tissues exceed it, and all that do take up much."""
SUV_UNIT = 5.0
"""SUV that becomes 1: uptake in blood and liver stays below 1, that of most tumours is between 0.5 and 4."""

AIR_IN_CT = -900.0
"""HU that air reaches in CT; MRI does not, even where resampling or a correction has left negative voxels."""
LOWEST_SUV, HIGHEST_SUV = -100.0, 1000.0
"""SUV far below 0 are those of another modality, and far above any uptake they are not SUV but Bq/ml."""

Window = Sequence[float] | None
"""The lowest and the highest HU, for CT."""


@dataclass(frozen=True, kw_only=True)
class Modality:
    """How a channel of a modality is treated.

    Args:
        body: masks the body in intensities (C, D, H, W).
        normalise: scales intensities (1, D, H, W); for CT by its window.
        air: intensity where nothing was scanned, in the unit of the file; None for the lowest voxel of the volume.
        padding: intensity around a volume that is smaller than a patch, once normalised.
    """

    body: Callable[[torch.Tensor], torch.Tensor]
    normalise: Callable[[torch.Tensor, Window], torch.Tensor]
    air: float | None
    padding: float


def scale_hounsfield(image: torch.Tensor, window: Window) -> torch.Tensor:
    """Clip HU to a window, and scale it to the range -1 to 1.

    Raises:
        ValueError: there is no window, or it is empty.
    """
    if window is None or len(window) != 2 or not window[1] > window[0]:
        raise ValueError(f"window: {window}: must be two HU, the highest above the lowest")
    scaled = ScaleIntensityRange(window[0], window[1], b_min=-1.0, b_max=1.0, clip=True)(image)
    assert isinstance(scaled, torch.Tensor)
    return scaled


def scale_uptake(image: torch.Tensor, window: Window = None) -> torch.Tensor:
    """Clip SUV to 0 to `SUV_HIGHEST`, and divide them by `SUV_UNIT`."""
    return image.clamp(0, SUV_HIGHEST) / SUV_UNIT


MODALITIES: Mapping[str, Modality] = {
    "CT": Modality(body=ct_body, normalise=scale_hounsfield, air=-1024.0, padding=-1.0),
    "PET": Modality(body=pet_body, normalise=scale_uptake, air=0.0, padding=0.0),
    "MRI": Modality(body=mri_body, normalise=lambda image, window: z_score_body(image), air=None, padding=0.0),
}


def check_modalities(modalities: Sequence[str]) -> None:
    """Check that there is at least one channel, and that each modality is known.

    Raises:
        ValueError: there is not, or one is unknown.
    """
    if not modalities:
        raise ValueError("modalities: none: must be one for each channel")
    for modality in modalities:
        if modality not in MODALITIES:
            raise ValueError(f"modalities: {modality!r}: must be one of {', '.join(MODALITIES)}")


def body_mask(image: torch.Tensor, *, modalities: Sequence[str]) -> torch.Tensor:
    """Mask the body in each channel of an image.

    Args:
        image: intensities (C, D, H, W).
        modalities: the modality of each channel.

    Returns:
        Mask (C, D, H, W), boolean.

    Raises:
        VolumeError: a channel has no body voxel.
    """
    values = image.as_tensor() if isinstance(image, MetaTensor) else image
    masks = [MODALITIES[modality].body(values[[index]]) for index, modality in enumerate(modalities[: len(values)])]
    if not all(mask.any() for mask in masks):
        raise no_body(image)
    return torch.cat(masks)


class CheckModalitiesd(MapTransform):
    """Check that the intensities of each channel fit its modality, as they do not where channels are exchanged.

    A CT should have voxels below 0 HU, such as fat and air; an MRI should not reach the HU of air; SUV are neither far
    below 0 nor in the thousands.

    Args:
        keys: images (C, D, H, W) as stored in their files, from `LoadVolumed`.
        modalities: the modality of each channel.
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        VolumeError: when called with a PET that has voxels far below 0.
    """

    def __init__(self, keys: KeysCollection, *, modalities: Sequence[str], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        check_modalities(modalities)
        self.modalities = tuple(modalities)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            volumes = [case[key], *(case[name] for name in other_channels(key, len(self.modalities)) if name in case)]
            channels = [(volume, channel) for volume in volumes for channel in volume.as_tensor()]
            for index, ((volume, channel), modality) in enumerate(zip(channels, self.modalities, strict=True)):
                path = volume.meta.get(ImageMetaKey.FILENAME_OR_OBJ) or str(key)
                where = f" in channel {index}, {modality}" if len(channels) > 1 else ""
                check_range(path, float(channel.min()), float(channel.max()), modality, where)
        return case


def check_range(path: str, lowest: float, highest: float, modality: str, where: str = "") -> None:
    """Check the lowest and the highest voxel of a channel: warn if they hardly fit its modality.

    Raises:
        VolumeError: they cannot fit.
    """
    found = f"the lowest voxel{where} is {lowest:g}"
    if modality == "CT" and lowest >= 0:
        warn_of_volume(path, found, "CT in HU has fat and air below 0: is this CT?")
    if modality == "MRI" and lowest <= AIR_IN_CT:
        warn_of_volume(path, found, "as low as air in CT, but this pipeline is for MRI")
    if modality == "PET" and lowest <= LOWEST_SUV:
        raise VolumeError(path, found, "must be SUV, which are not negative: is this the PET?")
    if modality == "PET" and highest > HIGHEST_SUV:
        warn_of_volume(path, f"the highest voxel{where} is {highest:g}", "SUV are far lower: is this PET in Bq/ml?")


class NormaliseChannelsd(MapTransform):
    """Normalise each channel by its modality: HU by a window, SUV by a fixed factor, MRI by a z-score over the body.

    Args:
        keys: images (C, D, H, W).
        modalities: the modality of each channel.
        windows: the window of each channel in HU; None for those that are not CT.
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        ValueError: a modality is unknown, or a CT has no window.
        VolumeError: when called with an MRI channel without a voxel brighter than air.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        modalities: Sequence[str],
        windows: Sequence[Window],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_modalities(modalities)
        for modality, window in zip(modalities, windows, strict=True):
            if modality == "CT":
                scale_hounsfield(torch.zeros(1), window)
        self.modalities, self.windows = tuple(modalities), tuple(windows)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            image: MetaTensor = case[key]
            channels = [
                MODALITIES[modality].normalise(image[[index]], window)
                for index, (modality, window) in enumerate(zip(self.modalities, self.windows, strict=True))
            ]
            normalised = torch.cat([torch.as_tensor(channel) for channel in channels])
            case[key] = MetaTensor(normalised, meta=image.meta)
        return case


def other_channels(key: Hashable, channels: int) -> list[str]:
    """Return the keys of the channels that have a grid of their own."""
    return [elsewhere(key, index) for index in range(1, channels)]
