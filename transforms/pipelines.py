"""Preprocessing and postprocessing pipelines, shared by training, validation and inference.

Bundles name these functions by `_target_`, so the three cannot drift apart. What differs between bundles (spacing,
window, margin) is an argument in the bundle's config. `augmentation` is the random part of training.

Images and labels are (C, D, H, W), with D, H, W towards the right, anterior and superior of the patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from monai.transforms import (
    Compose,
    CropForegroundd,
    ScaleIntensityRanged,
    Transform,
)

from .components import RemoveComponentsd
from .intensity import CorrectBiasFieldd, ZScoreBodyd
from .io.load import LoadVolumed
from .io.save import WriteLabelsd
from .modalities import MODALITIES, CheckModalitiesd, NormaliseChannelsd, body_mask, check_modalities, other_channels
from .regions import Regions
from .spatial.join import JoinChannelsd
from .spatial.resample import Resampled
from .spatial.restore import RestoreLabelsd

IMAGE, LABEL, PREDICTION = "image", "label", "pred"


def mri_preprocessing(
    keys: Sequence[str] = (IMAGE,),
    *,
    spacing: Sequence[float],
    labels: Iterable[int | str] | None = None,
    channels: int = 1,
    crop_margin: int | None = None,
    bias_correction: bool = False,
    grid_of: int = 0,
) -> Compose:
    """Preprocess MRI from the file to the network's input: orient, crop, resample, z-score within the body.

    Channels in files of their own may have grids of their own; see `channel_preprocessing`.

    Args:
        keys: `image`, and `label` if there is one.
        spacing: voxel size along (right, anterior, superior), in mm.
        labels: the values that label maps may have besides 0, such as the keys of `label_names`; the network gets their
            numbers from 1, in the order of the values. None leaves the values.
        channels: number of channels that an image must have.
        crop_margin: crop to the body plus this many voxels of the file on each side; None keeps the field of view.
        bias_correction: correct the bias field by N4 first, which takes seconds per volume.
        grid_of: the channel, from 0, on whose grid results are written.

    Returns:
        A pipeline from {key: path} to {key: MetaTensor (C, D, H, W)}.

    Raises:
        ValueError: an argument is invalid.
    """
    if channels < 1:
        raise ValueError(f"channels: {channels}: must be at least 1")
    images = [*image_keys(keys), *other_channels(IMAGE, channels)]
    correction: list[Transform] = [CorrectBiasFieldd(images, allow_missing_keys=True)] if bias_correction else []
    return Compose(
        [
            *geometry(
                keys,
                spacing=spacing,
                labels=labels,
                modalities=["MRI"] * channels,
                crop_margin=crop_margin,
                native=correction,
                grid_of=grid_of,
            ),
            ZScoreBodyd(image_keys(keys)),
        ]
    )


def ct_preprocessing(
    keys: Sequence[str] = (IMAGE,),
    *,
    spacing: Sequence[float],
    window: Sequence[float],
    labels: Iterable[int | str] | None = None,
    crop_margin: int | None = None,
) -> Compose:
    """Preprocess CT from the file to the network's input: orient, crop, resample, clip and scale intensities.

    Args:
        keys: `image`, and `label` if there is one.
        spacing: voxel size along (right, anterior, superior), in mm.
        window: (lowest, highest) HU: intensities are clipped to them and scaled to the range -1 to 1.
        labels: the values that label maps may have besides 0, such as the keys of `label_names`; the network gets their
            numbers from 1, in the order of the values. None leaves the values.
        crop_margin: crop to the body plus this many voxels of the file on each side; None keeps the field of view.

    Returns:
        A pipeline from {key: path} to {key: MetaTensor (C, D, H, W)}.

    Raises:
        ValueError: an argument is invalid.
    """
    low, high = window
    if not high > low:
        raise ValueError(f"window: {low} to {high} HU: the highest must be above the lowest")
    steps = geometry(keys, spacing=spacing, labels=labels, modalities=["CT"], crop_margin=crop_margin)
    scale = ScaleIntensityRanged(image_keys(keys), a_min=low, a_max=high, b_min=-1.0, b_max=1.0, clip=True)
    return Compose([*steps, scale])


def channel_preprocessing(
    keys: Sequence[str] = (IMAGE,),
    *,
    spacing: Sequence[float],
    modalities: Mapping[str, str],
    windows: Mapping[str, Sequence[float]] | None = None,
    labels: Iterable[int | str] | None = None,
    crop_margin: int | None = None,
    grid_of: int = 0,
) -> Compose:
    """Preprocess images whose channels are of several modalities, such as PET/CT, or of another one than CT and MRI.

    Channels in files of their own may have grids of their own, in one frame of reference; a label map may be on that of
    any channel. The network's grid begins at the first voxel of the first channel, and each volume is interpolated
    once, straight from its own grid. A CT is normalised as by `ct_preprocessing`, an MRI as by `mri_preprocessing`; SUV
    are clipped to 0 to 20 and divided by 5.

    Args:
        keys: `image`, and `label` if there is one.
        spacing: voxel size along (right, anterior, superior), in mm.
        modalities: `CT`, `PET` or `MRI` of each channel by its name, in the order of the channels.
        windows: (lowest, highest) HU of each CT by its name.
        labels: the values that label maps may have besides 0, such as the keys of `label_names`; the network gets their
            numbers from 1, in the order of the values. None leaves the values.
        crop_margin: crop to the body in the first channel, and in those on its grid, plus this many voxels of its file
            on each side; None keeps the field of view.
        grid_of: the channel, from 0, on whose grid results are written.

    Returns:
        A pipeline from {key: path, or the path of each channel} to {key: MetaTensor (C, D, H, W)}.

    Raises:
        ValueError: an argument is invalid.
    """
    kinds = list(modalities.values())
    given = windows or {}
    if unknown := given.keys() - modalities.keys():
        raise ValueError(f"windows: {sorted(unknown)[0]!r}: must be a channel: {', '.join(modalities)}")
    steps = geometry(
        keys,
        spacing=spacing,
        labels=labels,
        modalities=kinds,
        crop_margin=crop_margin,
        grid_of=grid_of,
    )
    normalise = NormaliseChannelsd(image_keys(keys), modalities=kinds, windows=[given.get(name) for name in modalities])
    return Compose([*steps, normalise])


def geometry(
    keys: Sequence[str],
    *,
    spacing: Sequence[float],
    labels: Iterable[int | str] | None = None,
    modalities: Sequence[str],
    crop_margin: int | None,
    native: Sequence[Transform] = (),
    grid_of: int = 0,
) -> list[Transform]:
    """Return the steps that all pipelines share: load and check, orient, crop to the body, resample.

    The `native` transforms run on the file's own voxels, before resampling.
    """
    if IMAGE not in keys or not set(keys) <= {IMAGE, LABEL}:
        raise ValueError(f"keys: {list(keys)}: must be 'image', or 'image' and 'label'")
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"spacing: {list(spacing)}: must be three positive lengths in mm")
    if crop_margin is not None and crop_margin < 0:
        raise ValueError(f"crop_margin: {crop_margin}: must not be negative")
    check_modalities(modalities)
    channels = len(modalities)
    load = LoadVolumed(keys, channels=channels, labels=labels, orientation="RAS", one_grid=channels == 1)
    check = CheckModalitiesd(image_keys(keys), modalities=modalities)
    crop: list[Transform] = []
    if crop_margin is not None:
        body = partial(body_mask, modalities=modalities)
        crop.append(CropForegroundd(keys, IMAGE, body, margin=crop_margin, allow_smaller=True, allow_missing_keys=True))
    resample = Resampled(keys, spacing, nearest=[LABEL], allow_missing_keys=True)
    join = JoinChannelsd(IMAGE, LABEL, air=[MODALITIES[name].air for name in modalities], grid_of=grid_of)
    return [load, check, *crop, *native, resample, join]


def image_keys(keys: Sequence[str]) -> list[str]:
    """Return the keys of images, without label maps."""
    return [key for key in keys if key != LABEL]


def postprocessing(
    *,
    output_dir: str | None = None,
    labels: Iterable[int | str] | None = None,
    regions: Regions | None = None,
    probabilities: bool = False,
    thresholds: Mapping[str, float] | None = None,
    components: Sequence[Mapping[str, Any]] = (),
) -> Compose:
    """Turn logits into a label map on the input's own grid, remove components, and optionally write it.

    Args:
        output_dir: folder for `<case>.nii.gz`; None writes nothing.
        labels: values of the network's classes without the background, such as the keys of `label_names`; see
            `restore_labels`.
        regions: labels of each region, if the network's channels are regions instead of classes.
        probabilities: interpolate probabilities instead of logits; see `restore_labels`.
        thresholds: probability above which a voxel is in a region, by the region's name; 0.5 for the others.
        components: which components of labels are kept, as `ComponentRule`: `{"labels": [1], "largest": true}` or
            `{"labels": [2], "smallest_mm3": 50}`.

    Returns:
        A pipeline that turns `pred`, logits (K, D, H, W) on the grid of `image`, into labels (1, X, Y, Z) on the
        file's grid.
    """
    write: list[Transform] = [WriteLabelsd(PREDICTION, output_dir=output_dir)] if output_dir is not None else []
    clean: list[Transform] = [RemoveComponentsd(PREDICTION, components)] if components else []
    restore = RestoreLabelsd(
        PREDICTION,
        reference=IMAGE,
        labels=labels,
        regions=regions,
        probabilities=probabilities,
        thresholds=thresholds,
    )
    return Compose([restore, *clean, *write])
