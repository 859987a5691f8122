"""How well a label map agrees with its reference, label by label, with empty ones counted instead of averaged away.

Dice, surface Dice and the distances between surfaces are MONAI's. The surface Dice measures the surfaces' area as in
Nikolov et al. 2021 (https://arxiv.org/abs/1809.04430), which the Medical Segmentation Decathlon uses too; HD95 and ASSD
count surface voxels, those with a face on the outside, all alike.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from monai.metrics import compute_dice, compute_surface_dice
from monai.metrics.utils import get_edge_surface_distance
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from hybridseg.transforms.regions import Regions, region_labels

Outcome = Literal["found", "missed", "false", "absent"]
Box = tuple[slice, ...]

LabelMap = NDArray[np.integer]
"""Labels (X, Y, Z)."""

COUNTED_AT_ONCE = 1 << 20
"""Voxels whose labels are counted at once: numpy takes 8 bytes for each meanwhile."""


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """The agreement about one label, or one region of several labels, in one case.

    Args:
        case: name of the case.
        label: the label's number; of a region, the label that it writes.
        name: the name of the label or region.
        outcome: `found`, the label is in both; `missed`, only in the reference; `false`, only in the prediction;
            `absent`, in neither, and then nothing is scored.
        reference_voxels: voxels with the label in the reference.
        prediction_voxels: voxels with the label in the prediction.
        reference_ml: the label's volume in the reference, in ml; None when absent.
        prediction_ml: its volume in the prediction, in ml; None when absent.
        volume_difference_ml: prediction minus reference, in ml: above 0 when too much was predicted; None when absent.
        dice: 0 to 1; 0 when missed or false.
        surface_dice: 0 to 1, share of both surfaces within the tolerance of the other; 0 when missed or false.
        hd95: in mm; the larger of the 95th percentiles of the distances from one surface to the other. None unless
            found, since there is no distance to a surface that is not there.
        assd: in mm; average symmetric surface distance: the mean over the surface voxels of both, pooled, of the
            distance to the other surface, so that the larger surface weighs more. None unless found.
    """

    case: str
    label: int
    name: str
    outcome: Outcome
    reference_voxels: int
    prediction_voxels: int
    reference_ml: float | None
    prediction_ml: float | None
    volume_difference_ml: float | None
    dice: float | None
    surface_dice: float | None
    hd95: float | None
    assd: float | None


def score_case(
    prediction: LabelMap,
    reference: LabelMap,
    *,
    spacing: Sequence[float],
    label_names: Mapping[int, str] | None = None,
    regions: Regions | None = None,
    tolerance: float = 1.0,
    case: str = "",
) -> list[LabelScore]:
    """Score a prediction against its reference.

    Args:
        prediction: labels (X, Y, Z).
        reference: labels (X, Y, Z) on the same grid.
        spacing: voxel size along (X, Y, Z), in mm.
        label_names: the labels to score, and their names; None scores all that occur in one of the two, but 0.
        regions: score these, each as a whole, instead of labels.
        tolerance: of the surface Dice, in mm.
        case: name of the case.

    Returns:
        A score for each label or region.

    Raises:
        ValueError: the shapes differ, a label is not positive, or the regions break their rule (`region_labels`).

    Examples:
        >>> import numpy as np
        >>> from hybridseg.app.evaluation.metrics import score_case
        >>> reference = np.zeros((8, 8, 8), dtype=np.uint8)
        >>> reference[2:6, 2:6, 2:6] = 1
        >>> prediction = np.roll(reference, 1, axis=2)
        >>> (score,) = score_case(prediction, reference, spacing=(1.0, 1.0, 3.0), label_names={1: "cube"})
        >>> score.outcome, score.dice, score.hd95, score.volume_difference_ml
        ('found', 0.75, 3.0, 0.0)
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction: shape {prediction.shape}: must be that of the reference, {reference.shape}")
    counts = [count_labels(labels) for labels in (prediction, reference)]
    if label_names is None:
        label_names = {int(label): str(label) for label in np.union1d(*map(np.flatnonzero, counts)) if label}
    if unusable := [label for label in label_names if label < 1]:
        raise ValueError(f"label_names: {unusable[0]}: labels are numbered from 1")
    parts: list[tuple[int, str, Sequence[int]]] = [(label, name, [label]) for label, name in label_names.items()]
    if regions is not None:
        parts = list(zip(region_labels(regions), regions, regions.values(), strict=True))
    boxes = [find_objects(labels) for labels in (prediction, reference)]
    voxel_ml = math.prod(spacing) / 1000
    scores = []
    for label, name, members in parts:
        predicted, wanted = (sum(int(count[member]) for member in members if member < len(count)) for count in counts)
        outcome = outcome_of(predicted, wanted)
        volumes: tuple[float | None, ...] = (None, None, None)
        agreement: tuple[float | None, ...] = (None, None, None, None)
        if outcome != "absent":
            volumes = tuple(round(voxels * voxel_ml, 6) for voxels in (wanted, predicted, predicted - wanted))
            agreement = (0.0, 0.0, None, None)
        if outcome == "found":
            found = [found[member - 1] for found in boxes for member in members if member <= len(found)]
            box = union([box for box in found if box is not None])
            agreement = measure(mask_of(prediction[box], members), mask_of(reference[box], members), spacing, tolerance)
        score = LabelScore(
            case=case,
            label=label,
            name=name,
            outcome=outcome,
            reference_voxels=wanted,
            prediction_voxels=predicted,
            reference_ml=volumes[0],
            prediction_ml=volumes[1],
            volume_difference_ml=volumes[2],
            dice=agreement[0],
            surface_dice=agreement[1],
            hd95=agreement[2],
            assd=agreement[3],
        )
        scores.append(score)
    return scores


def count_labels(labels: LabelMap) -> NDArray[np.intp]:
    """Voxels (N,) with each label from 0 to the greatest."""
    flat = labels.ravel(order="K")
    parts = np.array_split(flat, math.ceil(flat.size / COUNTED_AT_ONCE))
    length = int(flat.max()) + 1
    return np.sum([np.bincount(part, minlength=length) for part in parts], axis=0)


def outcome_of(prediction_voxels: int, reference_voxels: int) -> Outcome:
    """Name what the numbers of voxels with a label mean."""
    if prediction_voxels and reference_voxels:
        return "found"
    if reference_voxels:
        return "missed"
    return "false" if prediction_voxels else "absent"


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around boxes; MONAI adds the margin that surfaces need."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )


def mask_of(labels: LabelMap, members: Sequence[int]) -> NDArray[np.bool_]:
    """Where voxels have one of the labels."""
    mask: NDArray[np.bool_] = labels == members[0]
    for member in members[1:]:
        mask |= labels == member
    return mask


def measure(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float], tolerance: float
) -> tuple[float, float, float, float]:
    """Dice, surface Dice, HD95 (mm) and ASSD (mm) of two masks (X, Y, Z), neither of which is empty."""
    first, second = (torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (prediction, reference))
    millimetres = [float(length) for length in spacing]  # MONAI refuses a mixture with integers
    with warnings.catch_warnings():  # MONAI 1.6 warns of a deprecated argument that it gives itself
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        dice = compute_dice(first, second, include_background=True).item()
        surface_dice = compute_surface_dice(
            first, second, [tolerance], include_background=True, spacing=millimetres, use_subvoxels=True
        ).item()
        # What MONAI's Hausdorff and average surface distance are taken from; each of them would compute it again.
        _, distances, _ = get_edge_surface_distance(first[0, 0], second[0, 0], spacing=millimetres, symmetric=True)
    hd95 = max(float(np.percentile(one_way.numpy(), 95)) for one_way in distances)
    assd = torch.cat(distances).mean(dtype=torch.float64).item()
    return round(dice, 6), round(surface_dice, 6), round(hd95, 6), round(assd, 6)
