"""What a labelled case is like, measured before anything is decided about its dataset.

Size, spacing and intensities within the labels are what nnU-Net measures (Isensee et al. 2021). Added are faults, the
sizes of the labels, and how much of the volume the body fills. What is wrong with a file is for `LoadVolumed` to tell,
as it would when the case is trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms.utils import generate_spatial_bounding_box
from monai.utils import MetaKeys
from nibabel.affines import obliquity
from numpy.typing import NDArray
from scipy import ndimage

from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import label_dtype, voxel_lengths, voxel_volume_ml
from hybridseg.transforms.intensity import has_body, mri_body, no_body
from hybridseg.transforms.io.load import LoadVolumed

from .case_fingerprint import LEVELS, CaseFingerprint, ChannelFingerprint, LabelFingerprint, Triple

Body = Callable[[torch.Tensor], torch.Tensor]
"""From intensities (C, D, H, W) to the mask (C, D, H, W) of the body."""


def measure_case(
    case: LabelledCase, *, channels: int, labels: Collection[int] | None = None, body: Body = mri_body
) -> CaseFingerprint:
    """Measure a case, or say why it cannot be used.

    Beside the image as float32 there are in memory its label map and parts and masks of it: 16 bytes for each voxel, or
    2.5 GB for a CT of 512 x 512 x 600.

    Args:
        case: name and files.
        channels: that its image must have.
        labels: those that may occur beside the background 0; None for any.
        body: what is body in an image.

    Returns:
        Its fingerprint; with faults only where nothing can be read.

    Raises:
        ValueError: fewer channels than one.
    """
    image, label, faults = _load(case, channels)
    on_one_grid = not faults
    measured: dict[str, Any] = {}
    numbers = None
    if label is not None:
        numbers = _compact(label)
        measured["labels"] = _measure_labels(numbers, label.affine.numpy())
        faults += _label_faults(case, measured["labels"], labels)
    del label
    if image is not None:
        voxels = image.as_tensor()
        mask = body(voxels)
        if not has_body(mask):
            faults.append(str(no_body(image)))
        measured |= _measure_grid(image, mask)
        measured["image_hash"] = _hash(voxels.numpy())
        if numbers is not None and on_one_grid:
            labelled = numbers > 0
            pairs = zip(voxels.numpy(), mask.numpy(), strict=True)
            measured["channels"] = tuple(
                _measure_channel(_within(channel, labelled), _within(channel, inside)) for channel, inside in pairs
            )
    return CaseFingerprint(case=case["case"], faults=tuple(faults), **measured)


def _load(case: LabelledCase, channels: int) -> tuple[MetaTensor | None, MetaTensor | None, list[str]]:
    """Image (C, D, H, W) and label map (1, D, H, W) as the pipelines see them, as far as they can be read; faults."""
    load = LoadVolumed(("image", "label"), channels=channels, orientation="RAS", allow_missing_keys=True)
    entries: dict[Hashable, Any] = {"image": case["image"], "label": case["label"]}
    try:
        loaded = load(entries)
        return loaded["image"], loaded["label"], []
    except VolumeError as error:
        first = str(error)
    found: dict[Hashable, MetaTensor] = {}
    faults = []
    for key, entry in entries.items():
        try:
            found[key] = load({key: entry})[key]
        except VolumeError as error:
            faults.append(str(error))
    return found.get("image"), found.get("label"), faults or [first]  # each by itself is sound, but not the pair


def _label_faults(case: LabelledCase, there: Collection[int], allowed: Collection[int] | None) -> list[str]:
    """Labels that may not occur; a case may be without any, as healthy ones are."""
    if allowed is None or not (unknown := sorted(set(there) - set(allowed))):
        return []
    listed = ", ".join(map(str, sorted({0, *allowed})))
    return [str(VolumeError(case["label"], f"labels {', '.join(map(str, unknown))}", f"must be among {listed}"))]


def _measure_grid(image: MetaTensor, mask: torch.Tensor) -> dict[str, Any]:
    """Where the voxels of an image (C, D, H, W) lie, and its body, a mask (C, D, H, W), in it."""
    stored = np.asarray(image.meta[MetaKeys.ORIGINAL_AFFINE])
    start, end = generate_spatial_bounding_box(mask)
    filled = np.prod(np.subtract(end, start)) / np.prod(image.shape[1:])
    return {
        "shape": tuple(map(int, image.shape[1:])),
        "spacing": _triple(voxel_lengths(image.affine.numpy())),
        "orientation": "".join(nib.orientations.aff2axcodes(stored)),
        "oblique": round(float(np.degrees(obliquity(stored).max())), 2),
        "content_margin": round(float(filled), 4),
    }


def _hash(voxels: NDArray[np.float32]) -> str:
    """Digest of voxels (C, D, H, W), taken plane by plane, so that they need not be copied."""
    digest = hashlib.blake2b(repr(voxels.shape).encode(), digest_size=16)
    for channel in voxels:
        for plane in np.moveaxis(channel, -1, 0):  # the slowest axis of most files
            digest.update(np.ascontiguousarray(plane.T).data)
    return digest.hexdigest()


def _within(channel: NDArray[np.float32], mask: NDArray[np.bool_]) -> torch.Tensor:
    """Intensities (N,) where a mask is set, both (D, H, W), in the order of most files, which is many times faster."""
    return torch.from_numpy(channel.T[mask.T])


def _measure_channel(labelled: torch.Tensor, body: torch.Tensor) -> ChannelFingerprint:
    """Intensities (N,) of the labelled voxels, and (M,) of the body's."""
    mean, deviation = _moments(labelled)
    body_mean, body_deviation = _moments(body)
    quantiles = tuple(np.quantile(labelled.numpy(), LEVELS).tolist()) if len(labelled) else ()
    return ChannelFingerprint(
        voxels=len(labelled),
        mean=mean,
        deviation=deviation,
        minimum=quantiles[0] if quantiles else None,
        maximum=quantiles[-1] if quantiles else None,
        quantiles=quantiles,
        body_mean=body_mean,
        body_deviation=body_deviation,
    )


def _moments(values: torch.Tensor) -> tuple[float, float] | tuple[None, None]:
    """Mean and standard deviation."""
    if not len(values):
        return None, None
    deviation, mean = torch.std_mean(values, correction=0)
    return float(mean), float(deviation)


def _compact(label: MetaTensor) -> NDArray[np.uint8 | np.uint16]:
    """A label map (1, D, H, W) as integers (D, H, W)."""
    values = label.as_tensor()[0].numpy()
    return values.astype(label_dtype(values.max()))


def _measure_labels(numbers: NDArray[np.integer], affine: NDArray[np.floating]) -> dict[int, LabelFingerprint]:
    """Each label of a label map (D, H, W) with an affine (4, 4) to mm."""
    lengths, voxel_ml = voxel_lengths(affine), voxel_volume_ml(affine)
    measured = {}
    boxes: list[tuple[slice, slice, slice] | None] = ndimage.find_objects(numbers.T)  # transposed as in `_within`
    for index, box in enumerate(boxes):
        if box is None:
            continue
        mask = numbers.T[box] == index + 1
        pieces = np.zeros(mask.shape, dtype=np.int32)
        ndimage.label(mask, output=pieces)
        voxels = int(mask.sum())
        superior, anterior, right = (side.stop - side.start for side in box)
        measured[index + 1] = LabelFingerprint(
            voxels=voxels,
            millilitres=voxels * voxel_ml,
            components=int(pieces.max()),
            extent_mm=_triple(np.array([right, anterior, superior]) * lengths),
        )
    return measured


def _triple(lengths: NDArray[np.floating]) -> Triple:
    """Three lengths, to the seven digits that an affine in float32 has."""
    right, anterior, superior = (float(f"{length:.7g}") for length in lengths)
    return right, anterior, superior
