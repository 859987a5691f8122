"""Measure a labelled case, before anything is decided about its dataset.

Size, spacing and intensities within the labels are what nnU-Net measures (Isensee et al. 2021). Problems, label volumes
and the share of the volume that the body fills are added. `LoadVolumed` finds what is wrong with a file, as it would
when the case is used for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms.utils import generate_spatial_bounding_box
from numpy.typing import NDArray

from hybridseg.app.labels.label_maps import LabelMap, compact_labels, count_labels
from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import voxel_lengths, voxel_volume_ml
from hybridseg.transforms.intensity import has_body, mri_body, no_body
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.masks import MaskFile

from .case_fingerprint import LEVELS, CaseFingerprint, FloatTriple

Body = Callable[[torch.Tensor], torch.Tensor]
"""From intensities (C, D, H, W) to the mask (C, D, H, W) of the body."""


def measure_case(
    case: LabelledCase, *, channels: int, labels: Collection[int] | None = None, body: Body = mri_body
) -> CaseFingerprint:
    """Measure a case, or record why it cannot be used.

    Beside the image in float32, memory holds its label map, and parts and masks of both: 16 bytes per voxel, or 2.5 GB
    for a CT of 512 x 512 x 600.

    Args:
        case: name and files.
        channels: the number of channels that the image must have.
        labels: the labels that may occur beside the background 0; None for any.
        body: finds the body in an image.

    Returns:
        Its fingerprint; only with problems if no file can be read.

    Raises:
        ValueError: `channels` is below 1.
    """
    image, label, problems = _load(case, channels)
    on_one_grid = not problems
    measured: dict[str, Any] = {}
    numbers: LabelMap | None = None
    if label is not None:
        numbers = compact_labels(label.as_tensor()[0])
        measured["label_volumes"] = _measure_volumes(numbers, voxel_volume_ml(label.affine.numpy()))
        problems += _unlisted_labels(case, measured["label_volumes"], labels)
    del label
    if image is not None:
        voxels = image.as_tensor()
        mask = body(voxels)
        if not has_body(mask):
            problems.append(str(no_body(image)))
        measured |= {
            "shape": tuple(image.shape[1:]),
            "spacing": _triple(voxel_lengths(image.affine.numpy())),
            "body_share": _box_share(mask),
            "image_hash": _hash(voxels.numpy()),
        }
        if numbers is not None and on_one_grid:
            labelled = numbers > 0
            measured["labelled_voxels"] = int(labelled.sum())
            measured["quantiles"] = tuple(_quantiles_within(channel, labelled) for channel in voxels.numpy())
    return CaseFingerprint(case=case["case"], problems=tuple(problems), **measured)


def _load(case: LabelledCase, channels: int) -> tuple[MetaTensor | None, MetaTensor | None, list[str]]:
    """Load what can be read of the image (C, D, H, W) and the label map (1, D, H, W), and list the problems."""
    load = LoadVolumed(("image", "label"), channels=channels, orientation="RAS", allow_missing_keys=True)
    entries: dict[Hashable, Any] = {"image": case["image"], "label": case["label"]}
    try:
        loaded = load(entries)
        return loaded["image"], loaded["label"], []
    except VolumeError as error:
        first = str(error)
    found: dict[Hashable, MetaTensor] = {}
    problems = []
    for key, entry in entries.items():
        if isinstance(entry, MaskFile):  # has no grid of its own
            continue
        try:
            found[key] = load({key: entry})[key]
        except VolumeError as error:
            problems.append(str(error))
    return found.get("image"), found.get("label"), problems or [first]  # each is sound, but not the pair


def _unlisted_labels(case: LabelledCase, found: Collection[int], allowed: Collection[int] | None) -> list[str]:
    """Report labels that may not occur; a case without any label is healthy."""
    if allowed is None or not (unknown := sorted(set(found) - set(allowed))):
        return []
    listed = ", ".join(map(str, sorted({0, *allowed})))
    return [str(VolumeError(case["label"], f"labels {', '.join(map(str, unknown))}", f"must be among {listed}"))]


def _box_share(mask: torch.Tensor) -> float:
    """Return the share of a volume that the bounding box of a mask (C, D, H, W) fills."""
    start, end = generate_spatial_bounding_box(mask)
    return round(float(np.prod(np.subtract(end, start)) / np.prod(mask.shape[1:])), 4)


def _hash(voxels: NDArray[np.float32]) -> str:
    """Hash voxels (C, D, H, W) plane by plane, so that they need not be copied."""
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=16)
    for channel in voxels:
        for plane in np.moveaxis(channel, -1, 0):  # the slowest axis of most files
            digest.update(np.ascontiguousarray(plane.T).data)
    return digest.hexdigest()


def _quantiles_within(channel: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, ...]:
    """Return the quantiles at `LEVELS` of the intensities (D, H, W) within a mask (D, H, W); empty without voxels."""
    values = channel.T[mask.T]  # transposed to the order of most files, which is many times faster
    return tuple(np.quantile(values, LEVELS).tolist()) if len(values) else ()


def _measure_volumes(labels: LabelMap, voxel_ml: float) -> dict[int, float]:
    """Return the volume of each label of a label map (D, H, W), in ml, without the background."""
    return {label: int(count) * voxel_ml for label, count in enumerate(count_labels(labels)) if label and count}


def _triple(lengths: NDArray[np.floating]) -> FloatTriple:
    """Round three lengths to the seven digits that an affine in float32 has."""
    right, anterior, superior = (float(f"{length:.7g}") for length in lengths)
    return right, anterior, superior
