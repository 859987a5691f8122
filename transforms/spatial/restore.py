"""Restore a network's logits to a label map on the grid of the input, without holding all logits on that grid.

Output voxels are labelled slab by slab along their first axis: logits are interpolated linearly at the centres of the
slab's voxels, and the class with the highest logit wins; overlapping regions are where their logit is above 0.
Interpolating logits before choosing follows nnU-Net (Isensee et al. 2021); choosing first and interpolating labels
loses thin structures. If the grids are permuted, flipped and scaled versions of each other, as after reorienting,
cropping and resampling, most voxels need no interpolation at all. Classes are compared one at a time.

Shapes: K classes; (D, H, W) the network's grid; (X, Y, Z) the output's grid; (A, B, C) the network's grid with its axes
in the order of the output's; a slab has n of the X layers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey, MetaKeys, SpaceKeys
from numpy.typing import NDArray
from torch import Tensor

from hybridseg.transforms.grid import label_dtype
from hybridseg.transforms.label_values import label_values, values_by_number
from hybridseg.transforms.regions import Regions

from .alignment import Axes, align_axes
from .decision import Choose, choosing_rule
from .interpolation import at_points, disputed, everywhere, nearest
from .oblique import sample_slabs

SLAB_VALUES = 1 << 20
"""Most logits held at once on the output's grid, unless a single layer of voxels has more."""

MOST_DISPUTED = 0.15
"""Fraction of a slab's voxels up to which it is faster to interpolate only those whose label may change."""

Slab = tuple[tuple[slice, slice, slice], Tensor]


def restore_labels(
    logits: Tensor,
    affine: NDArray[np.floating],
    shape: Sequence[int],
    reference_affine: NDArray[np.floating],
    *,
    threshold: float | None = None,
    labels: Iterable[int | str] | None = None,
    regions: Regions | None = None,
    probabilities: bool = False,
    thresholds: Mapping[str, float] | None = None,
) -> NDArray[np.uint8 | np.uint16]:
    """Label the voxels of a reference grid from logits on another grid.

    Args:
        logits: (K, D, H, W), of any floating type, on any device.
        affine: (4, 4), voxel indices of the logits' grid to RAS mm.
        shape: (X, Y, Z) of the reference grid, in voxels.
        reference_affine: (4, 4), voxel indices of the reference grid to RAS mm.
        threshold: for a network with one channel (K = 1): voxels with a logit above it get label 1. None chooses the
            channel with the highest logit.
        labels: values of the classes in any order: channel 1 is the lowest. None gives channel 1 label 1, and so on.
        regions: for a network with a channel for each of K regions: voxels get the label of the last region whose logit
            is above 0; see `region_labels`.
        probabilities: interpolate probabilities instead of logits, as MONAI's bundles do: organs become a little
            rounder and a little less accurate (docs/BENCHMARKS.md).
        thresholds: probability above which a voxel is in a region, by the region's name, where it is not 0.5.

    Returns:
        Labels (X, Y, Z), uint8, or uint16 if labels can be above 255. Voxels with a centre outside the logits' grid,
        which ends half a voxel beyond the centres of its border voxels, are 0.

    Raises:
        ValueError: wrong shapes, a threshold, labels or regions that do not match the channels or each other, or NaN
            logits.
    """
    if logits.ndim != 4:
        raise ValueError(f"logits: shape {tuple(logits.shape)}: must be (classes, depth, height, width)")
    if len(shape) != 3:
        raise ValueError(f"shape: {tuple(shape)}: must be three lengths in voxels")
    choose, greatest = choosing_rule(
        len(logits), threshold, regions, probabilities=probabilities, thresholds=thresholds
    )
    logits = logits.detach()
    if probabilities and threshold is None:
        logits = logits.float().softmax(0) if regions is None else logits.float().sigmoid()
    mapping = np.linalg.inv(affine) @ reference_affine  # output voxel indices to network voxel indices
    axes = align_axes(mapping, logits.shape[1:], shape, logits.device)
    slabs = oblique_slabs(logits, mapping, shape, choose) if axes is None else aligned_slabs(logits, axes, choose)
    values = None if labels is None else class_values(labels, greatest, regions)
    restored: NDArray[np.uint8 | np.uint16]
    restored = np.zeros(tuple(shape), label_dtype(greatest) if values is None else values.dtype)
    for place, slab in slabs:
        chosen = slab.cpu().numpy()
        restored[place] = chosen if values is None else values[chosen]
    return restored


def class_values(labels: Iterable[int | str], classes: int, regions: Regions | None) -> NDArray[np.uint8 | np.uint16]:
    """Return the value of each class, from the background 0 on.

    Raises:
        ValueError: there is not a value for each class, or there are regions.
    """
    values = label_values(labels)
    if regions is not None or len(values) != classes:
        found = f"{len(values)} values for {'regions' if regions is not None else f'{classes} classes'}"
        raise ValueError(f"labels: {found}: must be one for each class, without regions")
    return values_by_number(values)


def aligned_slabs(logits: Tensor, axes: Axes, choose: Choose) -> Iterator[Slab]:
    """Yield the labels of each slab for parallel axes.

    If the network voxels around an output voxel have the same label, interpolation between them cannot change it. Only
    the others, at the borders of organs, are interpolated, or all voxels of the slab if these are many.
    """
    first, second, third = axes
    winner = choose(logits).permute([axis.source for axis in axes])  # (A, B, C)
    borders = disputed(winner, axes)
    layers = max(1, SLAB_VALUES // max(1, len(second.lower) * len(third.lower)))
    for begin in range(0, len(first.lower), layers):
        part = slice(begin, min(begin + layers, len(first.lower)))
        labels = nearest(winner, axes, part)
        if borders is not None:
            wanted = nearest(borders, axes, part)
            if wanted.sum() > MOST_DISPUTED * wanted.numel():
                labels = choose(everywhere(logits, axes, part)).transpose(1, 2)
            else:
                n, y, z = wanted.nonzero().unbind(1)
                labels[n, y, z] = choose(at_points(logits, axes, (n + begin, y, z)))
        rows = slice(first.inside.start + part.start, first.inside.start + part.stop)
        yield (rows, second.inside, third.inside), labels


def oblique_slabs(logits: Tensor, mapping: NDArray[np.float64], shape: Sequence[int], choose: Choose) -> Iterator[Slab]:
    """Yield the labels of each slab for any affine map, interpolating the eight network voxels around each voxel."""
    for rows, inside, values in sample_slabs(logits, mapping, shape, SLAB_VALUES // len(logits)):
        yield (rows, slice(None), slice(None)), choose(values).masked_fill_(~inside, 0)


class RestoreLabelsd(MapTransform):
    """Replace logits (K, D, H, W) on the network's grid by labels (1, X, Y, Z) on the grid of the image's file.

    Both grids come from the image's metadata: `affine` is the network's, `original_affine` and `spatial_shape` are the
    file's. The result is a MetaTensor of uint8 (uint16 if labels can be above 255) with the affine of the file.

    Args:
        keys: entries that hold logits, on the grid of the image.
        reference: entry that holds the preprocessed image, a MetaTensor loaded by `LoadVolumed`.
        threshold: see `restore_labels`.
        labels: see `restore_labels`.
        regions: see `restore_labels`.
        probabilities: see `restore_labels`.
        thresholds: see `restore_labels`.
        allow_missing_keys: skip keys that a case lacks.

    Raises:
        ValueError: when called with an image that is not a MetaTensor from a file, or with logits on another grid.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        reference: str = "image",
        threshold: float | None = None,
        labels: Iterable[int | str] | None = None,
        regions: Regions | None = None,
        probabilities: bool = False,
        thresholds: Mapping[str, float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reference = reference
        self.threshold = threshold
        self.labels = None if labels is None else tuple(labels)
        self.regions = regions
        self.probabilities = probabilities
        self.thresholds = thresholds

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        restored = dict(data)
        image = data[self.reference]
        if not isinstance(image, MetaTensor) or MetaKeys.ORIGINAL_AFFINE not in image.meta:
            raise ValueError(f"{self.reference}: {type(image).__name__}: must be a MetaTensor loaded from a file")
        # Collating and decollating a batch turns arrays into tensors.
        shape = tuple(int(size) for size in image.meta[MetaKeys.SPATIAL_SHAPE])
        affine = np.asarray(image.affine.cpu(), dtype=np.float64)
        original_affine = np.asarray(torch.as_tensor(image.meta[MetaKeys.ORIGINAL_AFFINE]).cpu(), dtype=np.float64)
        for key in self.key_iterator(restored):
            logits = data[key].as_tensor() if isinstance(data[key], MetaTensor) else data[key]
            if logits.shape[1:] != image.shape[1:]:
                found, wanted = tuple(logits.shape[1:]), tuple(image.shape[1:])
                raise ValueError(f"{key}: grid of {found} voxels: must be that of {self.reference}, {wanted}")
            labels = restore_labels(
                logits,
                affine,
                shape,
                original_affine,
                threshold=self.threshold,
                labels=self.labels,
                regions=self.regions,
                probabilities=self.probabilities,
                thresholds=self.thresholds,
            )
            restored[key] = MetaTensor(
                torch.from_numpy(labels)[None],
                affine=torch.from_numpy(original_affine),
                meta={
                    MetaKeys.ORIGINAL_AFFINE: original_affine,
                    MetaKeys.SPATIAL_SHAPE: np.asarray(shape),
                    MetaKeys.SPACE: image.meta.get(MetaKeys.SPACE, SpaceKeys.RAS),
                    ImageMetaKey.FILENAME_OR_OBJ: image.meta[ImageMetaKey.FILENAME_OR_OBJ],
                },
            )
        return restored
