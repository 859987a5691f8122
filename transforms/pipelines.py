"""Preprocessing and postprocessing pipelines, shared by training, validation and inference.

Bundles name these functions by `_target_`, so the three cannot drift apart. What differs between bundles (spacing,
window, margin) is an argument in the bundle's config. `augmentation` is the random part of training.

Images and labels are (C, D, H, W), with D, H, W towards the right, anterior and superior of the patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from monai.transforms import (
    Compose,
    CropForegroundd,
    ScaleIntensityRanged,
    Transform,
)

from .components import RemoveComponentsd
from .grid import GREATEST_LABEL
from .intensity import CorrectBiasFieldd, WarnOfModalityd, ZScoreBodyd, body_mask
from .io.load import LoadVolumed
from .io.save import WriteLabelsd
from .regions import Regions
from .spatial.resample import Resampled
from .spatial.restore import RestoreLabelsd

IMAGE, LABEL, PREDICTION = "image", "label", "pred"


def mri_preprocessing(
    keys: Sequence[str] = (IMAGE,),
    *,
    spacing: Sequence[float],
    classes: int = GREATEST_LABEL + 1,
    channels: int = 1,
    crop_margin: int | None = None,
    bias_correction: bool = False,
) -> Compose:
    """Preprocess MRI from the file to the network's input: orient, crop, resample, z-score within the body.

    Args:
        keys: `image`, and `label` if there is one.
        spacing: voxel size along (right, anterior, superior), in mm.
        classes: number of labels, background included; a label map with higher labels is an error.
        channels: number of channels that an image must have.
        crop_margin: crop to the body plus this many voxels of the file on each side; None keeps the field of view.
        bias_correction: correct the bias field by N4 first, which takes seconds per volume.

    Returns:
        A pipeline from {key: path} to {key: MetaTensor (C, D, H, W)}.

    Raises:
        ValueError: an argument is invalid.
    """
    correction: list[Transform] = [CorrectBiasFieldd(image_keys(keys))] if bias_correction else []
    return Compose(
        [
            *geometry(
                keys,
                spacing=spacing,
                classes=classes,
                channels=channels,
                crop_margin=crop_margin,
                hounsfield=False,
                native=correction,
            ),
            ZScoreBodyd(image_keys(keys)),
        ]
    )


def ct_preprocessing(
    keys: Sequence[str] = (IMAGE,),
    *,
    spacing: Sequence[float],
    window: Sequence[float],
    classes: int = GREATEST_LABEL + 1,
    crop_margin: int | None = None,
) -> Compose:
    """Preprocess CT from the file to the network's input: orient, crop, resample, clip and scale intensities.

    Args:
        keys: `image`, and `label` if there is one.
        spacing: voxel size along (right, anterior, superior), in mm.
        window: (lowest, highest) HU: intensities are clipped to them and scaled to the range -1 to 1.
        classes: number of labels, background included; a label map with higher labels is an error.
        crop_margin: crop to the body plus this many voxels of the file on each side; None keeps the field of view.

    Returns:
        A pipeline from {key: path} to {key: MetaTensor (C, D, H, W)}.

    Raises:
        ValueError: an argument is invalid.
    """
    low, high = window
    if not high > low:
        raise ValueError(f"window: {low} to {high} HU: the highest must be above the lowest")
    steps = geometry(keys, spacing=spacing, classes=classes, channels=1, crop_margin=crop_margin, hounsfield=True)
    scale = ScaleIntensityRanged(image_keys(keys), a_min=low, a_max=high, b_min=-1.0, b_max=1.0, clip=True)
    return Compose([*steps, scale])


def geometry(
    keys: Sequence[str],
    *,
    spacing: Sequence[float],
    classes: int,
    channels: int,
    crop_margin: int | None,
    hounsfield: bool,
    native: Sequence[Transform] = (),
) -> list[Transform]:
    """Return the steps that MRI and CT share: load and check, orient, crop to the body, resample.

    The `native` transforms run on the file's own voxels, before resampling.
    """
    if IMAGE not in keys or not set(keys) <= {IMAGE, LABEL}:
        raise ValueError(f"keys: {list(keys)}: must be 'image', or 'image' and 'label'")
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"spacing: {list(spacing)}: must be three positive lengths in mm")
    if crop_margin is not None and crop_margin < 0:
        raise ValueError(f"crop_margin: {crop_margin}: must not be negative")
    transforms: list[Transform] = [
        LoadVolumed(keys, channels=channels, classes=classes, orientation="RAS"),
        WarnOfModalityd(image_keys(keys), hounsfield=hounsfield),
    ]
    if crop_margin is not None:
        body = partial(body_mask, hounsfield=hounsfield)
        transforms.append(CropForegroundd(keys, IMAGE, select_fn=body, margin=crop_margin, allow_smaller=True))
    return [*transforms, *native, Resampled(keys, spacing, nearest=[LABEL])]


def image_keys(keys: Sequence[str]) -> list[str]:
    """Return the keys of images, without label maps."""
    return [key for key in keys if key != LABEL]


def postprocessing(
    *,
    output_dir: str | None = None,
    regions: Regions | None = None,
    probabilities: bool = False,
    thresholds: Mapping[str, float] | None = None,
    components: Sequence[Mapping[str, Any]] = (),
) -> Compose:
    """Turn logits into a label map on the input's own grid, remove components, and optionally write it.

    Args:
        output_dir: folder for `<case>.nii.gz`; None writes nothing.
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
        PREDICTION, reference=IMAGE, regions=regions, probabilities=probabilities, thresholds=thresholds
    )
    return Compose([restore, *clean, *write])
