"""Measure a labelled case, before anything is decided about its dataset.

Size, spacing and intensities within the labels are what nnU-Net measures (Isensee et al. 2021). Problems, label volumes
and the share of the volume that the body fills are added. `LoadVolumed` finds what is wrong with a file, as it would
when the case is used for training.

Channels may have grids of their own. Grid and body are measured in the first; the intensities of the others are
interpolated at the voxels of the label map.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Hashable, Iterable, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms.utils import generate_spatial_bounding_box
from numpy.typing import NDArray

from hybridseg.app.bundling.training_data import percentiles
from hybridseg.app.labels.label_maps import LabelMap, compact_labels, count_labels
from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import grid_difference, voxel_lengths, voxel_volume_ml
from hybridseg.transforms.intensity import has_body, no_body
from hybridseg.transforms.io.load import LoadVolumed, elsewhere
from hybridseg.transforms.io.masks import MaskFile
from hybridseg.transforms.modalities import MODALITIES, CheckModalitiesd, other_channels
from hybridseg.transforms.spatial import resample_onto

from .case_fingerprint import LEVELS, CaseFingerprint, FloatTriple

IMAGE, LABEL = "image", "label"


def measure_case(
    case: LabelledCase,
    *,
    modalities: Sequence[str] = ("MRI",),
    labels: Collection[int] | None = None,
    ignore: int | None = None,
) -> CaseFingerprint:
    """Measure a case, or record why it cannot be used.

    Beside the image in float32, memory holds its label map, and parts and masks of both: 16 bytes per voxel, or 2.5 GB
    for a CT of 512 x 512 x 600.

    Args:
        case: name and files.
        modalities: `CT`, `PET` or `MRI` for each channel that the image must have.
        labels: the labels that may occur beside the background 0; None for any.
        ignore: label of voxels without annotation, which may occur too and is not measured.

    Returns:
        Its fingerprint; only with problems if no file can be read.

    Raises:
        ValueError: a modality is unknown, or there is none.
    """
    volumes, label, problems = _load(case, modalities)
    belong = not problems
    measured: dict[str, Any] = {}
    numbers: LabelMap | None = None
    shape: Sequence[int] = ()
    affine = np.eye(4)
    if label is not None:
        numbers = compact_labels(label.as_tensor()[0])
        if ignore is not None:
            problems += _unannotated(case, numbers, ignore)
            numbers = np.where(numbers == ignore, 0, numbers)
        measured["label_volumes"] = _measure_volumes(numbers, voxel_volume_ml(label.affine.numpy()))
        measured["labelled_extent"] = _box_lengths(numbers > 0, voxel_lengths(label.affine.numpy()))
        problems += _unlisted_labels(case, measured["label_volumes"], labels)
        shape, affine = label.shape[1:], label.affine.numpy()
    del label
    if volumes:
        channels = cast(list[MetaTensor], [channel for volume in volumes for channel in volume.split(1)])
        masks = [MODALITIES[name].body(part.as_tensor()) for part, name in zip(channels, modalities, strict=True)]
        problems += [str(no_body(part)) for part, mask in zip(channels, masks, strict=True) if not has_body(mask)][:1]
        measured |= {
            "shape": tuple(volumes[0].shape[1:]),
            "spacing": _triple(voxel_lengths(volumes[0].affine.numpy())),
            "intensity_ranges": tuple(percentiles(channel.numpy()[0]) for channel in channels),
            "body_share": _box_share(torch.cat(masks[: len(volumes[0])])),
            "image_hash": _hash(volume.numpy() for volume in volumes),
        }
        if numbers is not None and belong:
            labelled = numbers > 0
            measured["labelled_voxels"] = int(labelled.sum())
            measured["quantiles"] = tuple(
                _quantiles_within(_on_grid(part, shape, affine, MODALITIES[name].air), labelled)
                for part, name in zip(channels, modalities, strict=True)
            )
    return CaseFingerprint(case=case["case"], problems=tuple(problems), **measured)


def _load(case: LabelledCase, modalities: Sequence[str]) -> tuple[list[MetaTensor], MetaTensor | None, list[str]]:
    """Load what can be read of the image and the label map (1, D, H, W), and list the problems.

    The image is one volume (C, D, H, W), or one (1, D, H, W) for each channel if these are on grids of their own.
    """
    load = LoadVolumed(
        (IMAGE, LABEL), channels=len(modalities), orientation="RAS", allow_missing_keys=True, one_grid=False
    )
    check = CheckModalitiesd(IMAGE, modalities=modalities, allow_missing_keys=True)
    entries: dict[Hashable, Any] = {IMAGE: case["image"], LABEL: case["label"]}
    found: dict[Hashable, MetaTensor] = {}
    problems = []
    try:
        found = load(entries)
    except VolumeError as error:
        first = str(error)
        for key, entry in entries.items():
            if isinstance(entry, MaskFile):  # has no grid of its own
                continue
            try:
                found |= load({key: entry})
            except VolumeError as error:
                problems.append(str(error))
        problems = problems or [first]  # each is sound, but not the pair
    try:
        with warnings.catch_warnings(action="ignore"):  # of one case, the survey warns
            check(found)
    except VolumeError as error:
        problems.append(str(error))
    volumes = [found[key] for key in (IMAGE, *other_channels(IMAGE, len(modalities))) if key in found]
    return volumes, found.get(LABEL, found.get(elsewhere(LABEL))), problems


def _on_grid(
    channel: MetaTensor, shape: Sequence[int], affine: NDArray[np.float64], air: float | None
) -> NDArray[np.float32]:
    """Return a channel (1, D, H, W) on a grid, as (X, Y, Z): interpolated if its own is another."""
    if grid_difference(channel.shape[1:], channel.affine.numpy(), shape, affine) is None:
        return channel.numpy()[0]
    outside = float(channel.min()) if air is None else air
    return resample_onto(channel, shape, affine, outside=outside).numpy()[0]


def _unlisted_labels(case: LabelledCase, found: Collection[int], allowed: Collection[int] | None) -> list[str]:
    """Report labels that may not occur; a case without any label is healthy."""
    if allowed is None or not (unknown := sorted(set(found) - set(allowed))):
        return []
    listed = ", ".join(map(str, sorted({0, *allowed})))
    return [str(VolumeError(case["label"], f"labels {', '.join(map(str, unknown))}", f"must be among {listed}"))]


def _unannotated(case: LabelledCase, labels: LabelMap, ignore: int) -> list[str]:
    """Report a label map (D, H, W) without annotation, from which nothing can be learnt."""
    if not (labels == ignore).all():
        return []
    return [str(VolumeError(case["label"], f"all voxels have the ignore label {ignore}", "some must be annotated"))]


def _box_share(mask: torch.Tensor) -> float:
    """Return the share of a volume that the bounding box of a mask (C, D, H, W) fills."""
    start, end = generate_spatial_bounding_box(mask)
    return round(float(np.prod(np.subtract(end, start)) / np.prod(mask.shape[1:])), 4)


def _box_lengths(mask: NDArray[np.bool_], edges: NDArray[np.floating]) -> FloatTriple | None:
    """Return the size of the bounding box of a mask (D, H, W), in mm; None if it is empty.

    Args:
        mask: the mask.
        edges: voxel size along each axis, in mm.
    """
    if not mask.any():
        return None
    start, end = generate_spatial_bounding_box(mask[None])
    return _triple(np.subtract(end, start) * edges)


def _hash(volumes: Iterable[NDArray[np.float32]]) -> str:
    """Hash volumes (C, D, H, W) plane by plane, so that they need not be copied."""
    digest = hashlib.blake2b(digest_size=16)
    for channel in chain.from_iterable(volumes):
        digest.update(repr(channel.shape).encode())
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
