"""The pipelines: the one place where preprocessing, augmentation and postprocessing are written.

Training, validation and inference call the same functions, from a bundle by `_target_`, so they cannot drift apart.
What differs between bundles (spacing, window, margin) is a parameter and stands in the bundle's config.

Images and labels are (C, D, H, W) along the axes right, anterior, superior of the patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from monai.transforms import (
    Compose,
    CropForegroundd,
    ScaleIntensityRanged,
    Transform,
)

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
    """From a file to what the network sees, for MRI: oriented, cropped, resampled, z-scored within the body.

    Args:
        keys: `image`, and `label` where there is one.
        spacing: voxel size along (right, anterior, superior), in mm.
        classes: labels with the background; a label map with others is refused.
        channels: channels that an image must have.
        crop_margin: crop to the body and this many of the file's voxels around it; None keeps the field of view.
        bias_correction: even out the bias field by N4 first; takes seconds per volume.

    Returns:
        A pipeline from {key: path} to {key: MetaTensor (C, D, H, W)}.
    """
    correction: list[Transform] = [CorrectBiasFieldd(images(keys))] if bias_correction else []
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
            ZScoreBodyd(images(keys)),
        ]
    )


def ct_preprocessing(
    keys: Sequence[str] = (IMAGE,),
    *,
    spacing: Sequence[float],
    classes: int = GREATEST_LABEL + 1,
    window: Sequence[float] | None = None,
    foreground: Mapping[str, float] | None = None,
    crop_margin: int | None = None,
) -> Compose:
    """From a file to what the network sees, for CT: oriented, cropped, resampled, intensities clipped and scaled.

    Args:
        keys: `image`, and `label` where there is one.
        spacing: voxel size along (right, anterior, superior), in mm.
        classes: labels with the background; a label map with others is refused.
        window: (lowest, highest) HU, clipped and scaled to -1 and 1.
        foreground: instead of a window, what a dataset's labelled voxels have: `low` and `high`, HU to clip to
            (nnU-Net takes the 0.5th and 99.5th percentile, Isensee et al. 2021), and `mean` and `deviation`, HU of a
            z-score.
        crop_margin: crop to the body and this many of the file's voxels around it; None keeps the field of view.

    Returns:
        A pipeline from {key: path} to {key: MetaTensor (C, D, H, W)}.

    Raises:
        ValueError: both or neither of `window` and `foreground` are given, or the highest HU is not above the lowest.
    """
    if window is not None and foreground is None:
        low, high = window
        darkest, brightest = -1.0, 1.0
    elif window is None and foreground is not None:
        low, high = foreground["low"], foreground["high"]
        darkest, brightest = ((value - foreground["mean"]) / foreground["deviation"] for value in (low, high))
    else:
        raise ValueError(f"window, foreground: {window}, {foreground}: exactly one must be given")
    if not high > low:
        raise ValueError(f"window: {low} to {high} HU: the highest must be above the lowest")
    placed = geometry(keys, spacing=spacing, classes=classes, channels=1, crop_margin=crop_margin, hounsfield=True)
    scale = ScaleIntensityRanged(images(keys), a_min=low, a_max=high, b_min=darkest, b_max=brightest, clip=True)
    return Compose([*placed, scale])


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
    """Load and check, orient, crop to the body, do what `native` voxels need, resample: what MRI and CT share."""
    if IMAGE not in keys or not set(keys) <= {IMAGE, LABEL}:
        raise ValueError(f"keys: {list(keys)}: must be 'image', or 'image' and 'label'")
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"spacing: {list(spacing)}: must be three positive lengths in mm")
    if crop_margin is not None and crop_margin < 0:
        raise ValueError(f"crop_margin: {crop_margin}: must not be negative")
    transforms: list[Transform] = [
        LoadVolumed(keys, channels=channels, classes=classes, orientation="RAS"),
        WarnOfModalityd(images(keys), hounsfield=hounsfield),
    ]
    if crop_margin is not None:
        body = partial(body_mask, hounsfield=hounsfield)
        transforms.append(CropForegroundd(keys, IMAGE, select_fn=body, margin=crop_margin, allow_smaller=True))
    return [*transforms, *native, Resampled(keys, spacing, nearest=[LABEL])]


def images(keys: Sequence[str]) -> list[str]:
    """Those of `keys` whose intensities matter."""
    return [key for key in keys if key != LABEL]


def postprocessing(
    *, output_dir: str | None = None, regions: Regions | None = None, probabilities: bool = False
) -> Compose:
    """From logits to a label map on the input's own grid.

    Args:
        output_dir: folder to write `<case>.nii.gz` to; None writes nothing.
        regions: what the network's channels are, instead of classes; see `restore_labels`.
        probabilities: interpolate these instead of logits; see `restore_labels`.

    Returns:
        A pipeline that turns `pred`, logits (K, D, H, W) on the grid of `image`, into labels (1, X, Y, Z) on the
        file's grid.
    """
    write: list[Transform] = [WriteLabelsd(PREDICTION, output_dir=output_dir)] if output_dir is not None else []
    restore = RestoreLabelsd(PREDICTION, reference=IMAGE, regions=regions, probabilities=probabilities)
    return Compose([restore, *write])
