"""Rotate and scale a patch and its labels by one random affine map.

Interpolating the share of each label and taking the greatest keeps the surfaces of labels smooth, but costs an
interpolation for every label. Only near a surface does it differ from the nearest voxel's label, so shares are computed
there alone; the labels are those of MONAI's RandAffined on one-hot labels and an argmax.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandAffine, RandomizableTransform
from torch import Tensor
from torch.nn import functional

SAMPLING: Mapping[str, Any] = {"padding_mode": "border", "align_corners": False}


class RandRotateScaled(RandomizableTransform, MapTransform):
    """Rotate and scale an image and its label map alike, with the random numbers of MONAI's RandAffined.

    Args:
        image_key: image (C, D, H, W), interpolated linearly.
        label_key: labels (1, D, H, W), integers; the greatest interpolated share wins, the lowest label of equals.
        prob: probability of a change.
        rotation: largest rotation about each axis (D, H, W), in degrees.
        scaling: largest relative change of size.
    """

    def __init__(
        self, image_key: str, label_key: str, *, prob: float, rotation: Sequence[float], scaling: float
    ) -> None:
        MapTransform.__init__(self, [image_key, label_key])
        RandomizableTransform.__init__(self, prob)
        self.image_key, self.label_key = image_key, label_key
        self.affine = RandAffine(prob=1.0, rotate_range=np.deg2rad(rotation).tolist(), scale_range=[scaling] * 3)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandRotateScaled:
        """Seed this transform and MONAI's within it."""
        self.affine.set_random_state(seed, state)
        super().set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        self.randomize(None)
        self.affine.randomize()
        if self._do_transform:
            points = self.points(case[self.label_key].shape[1:])
            case[self.image_key] = functional.grid_sample(case[self.image_key][None], points[None], **SAMPLING)[0]
            case[self.label_key] = sample_labels(case[self.label_key], points)
            for _ in self.keys:  # RandAffined draws once more for each key
                self.affine.randomize()
        return case

    def points(self, size: Sequence[int]) -> Tensor:
        """Draw an affine map, and return where each voxel of the result is sampled, (D, H, W, 3) as in `grid_sample`.

        The coordinates are along (W, H, D), from -1 to 1 over the volume.
        """
        identity = self.affine.get_identity_grid(tuple(size), lazy=False)
        grid = torch.as_tensor(self.affine.rand_affine_grid(size, grid=identity)).as_subclass(Tensor)
        scale = [2.0 / max(2, length) for length in size]
        return torch.stack([grid[axis] * scale[axis] for axis in (2, 1, 0)], dim=-1)


def sample_labels(labels: Tensor, points: Tensor) -> Tensor:
    """Sample a label map where the interpolated share of each label says which label is greatest.

    Args:
        labels: (1, D, H, W), integers.
        points: where to sample, (D, H, W, 3) as `grid_sample` has it.

    Returns:
        Labels (1, D, H, W) of the same type; where two labels have equal shares, the lower one.
    """
    volume = labels[0]
    marked = (volume.float() * 2 + near_other_label(volume))[None, None]  # the label, and whether it touches another
    nearest = functional.grid_sample(marked, points[None], mode="nearest", **SAMPLING).flatten().int()
    sampled = (nearest >> 1).to(labels.dtype)
    mixed = (nearest & 1).nonzero()[:, 0]
    sampled[mixed] = greatest_shares(volume, points.reshape(-1, 3)[mixed])
    return sampled.view(1, *points.shape[:3])


def near_other_label(labels: Tensor) -> Tensor:
    """Mask the voxels of (D, H, W) that have another label among their 26 neighbours."""
    lowest = highest = labels
    for axis in range(3):
        lowest, highest = spread(lowest, axis, torch.minimum), spread(highest, axis, torch.maximum)
    return lowest != highest


def spread(values: Tensor, axis: int, choose: Any) -> Tensor:
    """Choose among each value of (D, H, W) and its two neighbours along an axis."""
    count = values.shape[axis] - 1
    chosen = values.clone()
    for here, there in ((0, 1), (1, 0)):
        target = chosen.narrow(axis, here, count)
        choose(target, values.narrow(axis, there, count), out=target)
    return chosen


def greatest_shares(labels: Tensor, points: Tensor) -> Tensor:
    """Return the label with the greatest share at each point, interpolated between the eight voxels around it.

    Args:
        labels: (D, H, W), integers.
        points: (N, 3), as `grid_sample` has them.

    Returns:
        Labels (N,).
    """
    voxels, weights = [], []  # for each axis, of the voxels below and above a point: flattened indices, and weights
    for axis, length in enumerate(labels.shape):
        position = (((points[:, 2 - axis] + 1) * length - 1) / 2).clamp_(0, length - 1)
        below = position.floor()
        above = (below + 1).clamp_(max=length - 1)  # the last voxel twice, the second time with weight 0
        voxels.append([voxel.int() * math.prod(labels.shape[axis + 1 :]) for voxel in (below, above)])
        weights.append([below + 1 - position, position - below])
    numbers = labels.flatten().bincount().nonzero()[:, 0]
    channel = numbers.new_zeros(int(numbers[-1]) + 1)
    channel[numbers] = torch.arange(len(numbers), device=labels.device)
    channels = channel[labels.flatten().int()]
    shares = points.new_zeros(len(numbers), len(points))
    for d, h, w in product((0, 1), repeat=3):  # in the order of grid_sample, so that sums round alike
        share = weights[2][w] * weights[1][h] * weights[0][d]
        shares.scatter_add_(0, channels[voxels[0][d] + voxels[1][h] + voxels[2][w]][None], share[None])
    best, most = numbers.new_zeros(len(points)), shares[0]
    for index in range(1, len(numbers)):
        best[shares[index] > most] = index
        torch.maximum(most, shares[index], out=most)
    return numbers[best].to(labels.dtype)
