"""How well a label map agrees with its reference, label by label, with empty ones counted instead of averaged away.

Dice, HD95 and surface Dice are MONAI's. The surface Dice measures the surfaces' area as in Nikolov et al. 2021
(https://arxiv.org/abs/1809.04430), which the Medical Segmentation Decathlon uses too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from scipy.ndimage import find_objects

Outcome = Literal["found", "missed", "false", "absent"]
Box = tuple[slice, ...]

LabelMap = NDArray[np.integer]
"""Labels (X, Y, Z)."""


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """The agreement about one label in one case.

    Args:
        case: name of the case.
        label: the label's number.
        name: the label's name.
        outcome: `found`, the label is in both; `missed`, only in the reference; `false`, only in the prediction;
            `absent`, in neither, and then nothing is scored.
        reference_voxels: voxels with the label in the reference.
        prediction_voxels: voxels with the label in the prediction.
        dice: 0 to 1; 0 when missed or false.
        surface_dice: 0 to 1, share of both surfaces within the tolerance of the other; 0 when missed or false.
        hd95: in mm; the larger of the 95th percentiles of the distances from one surface to the other. None unless
            found, since there is no distance to a surface that is not there.
    """

    case: str
    label: int
    name: str
    outcome: Outcome
    reference_voxels: int
    prediction_voxels: int
    dice: float | None
    surface_dice: float | None
    hd95: float | None


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (of the population) over cases; None when there is none to take them over."""

    mean: float | None
    std: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The agreement about one label, or about all, over cases.

    Args:
        label: the label's number; None for all labels.
        name: the label's name, or `all labels`.
        found, missed, false, absent: cases with each outcome; for all labels, pairs of case and label.
        dice: over all that are not absent.
        surface_dice: over all that are not absent.
        hd95: in mm, over the found ones.
    """

    label: int | None
    name: str
    found: int
    missed: int
    false: int
    absent: int
    dice: Spread
    surface_dice: Spread
    hd95: Spread


def score_case(
    prediction: LabelMap,
    reference: LabelMap,
    *,
    spacing: Sequence[float],
    label_names: Mapping[int, str] | None = None,
    tolerance: float = 1.0,
    case: str = "",
) -> list[LabelScore]:
    """Score a prediction against its reference.

    Args:
        prediction: labels (X, Y, Z).
        reference: labels (X, Y, Z) on the same grid.
        spacing: voxel size along (X, Y, Z), in mm.
        label_names: the labels to score, and their names; None scores all that occur in one of the two, but 0.
        tolerance: of the surface Dice, in mm.
        case: name of the case.

    Returns:
        A score for each label.

    Raises:
        ValueError: the shapes differ, or a label is not positive.

    Example:
        >>> import numpy as np
        >>> from hybridseg.app.scores import score_case
        >>> reference = np.zeros((8, 8, 8), dtype=np.uint8)
        >>> reference[2:6, 2:6, 2:6] = 1
        >>> prediction = np.roll(reference, 1, axis=2)
        >>> (score,) = score_case(prediction, reference, spacing=(1.0, 1.0, 3.0), label_names={1: "cube"})
        >>> score.outcome, score.dice, score.hd95
        ('found', 0.75, 3.0)
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction: shape {prediction.shape}: must be that of the reference, {reference.shape}")
    counts = [np.bincount(labels.ravel()) for labels in (prediction, reference)]
    if label_names is None:
        label_names = {int(label): str(label) for label in np.union1d(*map(np.flatnonzero, counts)) if label}
    if unusable := [label for label in label_names if label < 1]:
        raise ValueError(f"label_names: {unusable[0]}: labels are numbered from 1")
    boxes = [find_objects(labels) for labels in (prediction, reference)]
    scores = []
    for label, name in label_names.items():
        predicted, wanted = (int(count[label]) if label < len(count) else 0 for count in counts)
        outcome = outcome_of(predicted, wanted)
        measured: tuple[float | None, ...] = (None, None, None) if outcome == "absent" else (0.0, 0.0, None)
        if outcome == "found":
            box = union(boxes[0][label - 1], boxes[1][label - 1])
            measured = measure(prediction[box] == label, reference[box] == label, spacing, tolerance)
        score = LabelScore(
            case=case,
            label=label,
            name=name,
            outcome=outcome,
            reference_voxels=wanted,
            prediction_voxels=predicted,
            dice=measured[0],
            surface_dice=measured[1],
            hd95=measured[2],
        )
        scores.append(score)
    return scores


def outcome_of(prediction_voxels: int, reference_voxels: int) -> Outcome:
    """Name what the numbers of voxels with a label mean."""
    if prediction_voxels and reference_voxels:
        return "found"
    if reference_voxels:
        return "missed"
    return "false" if prediction_voxels else "absent"


def union(first: Box, second: Box) -> Box:
    """The smallest box around two boxes; MONAI adds the margin that surfaces need."""
    return tuple(
        slice(min(one.start, other.start), max(one.stop, other.stop)) for one, other in zip(first, second, strict=True)
    )


def measure(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float], tolerance: float
) -> tuple[float, float, float]:
    """Dice, surface Dice and HD95 (mm) of two masks (X, Y, Z), neither of which is empty."""
    first, second = (torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (prediction, reference))
    millimetres = list(spacing)
    with warnings.catch_warnings():  # MONAI 1.6 warns of a deprecated argument that it gives itself
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        dice = compute_dice(first, second, include_background=True)
        surface_dice = compute_surface_dice(
            first, second, [tolerance], include_background=True, spacing=millimetres, use_subvoxels=True
        )
        hd95 = compute_hausdorff_distance(first, second, include_background=True, percentile=95, spacing=millimetres)
    return round(dice.item(), 6), round(surface_dice.item(), 6), round(hd95.item(), 6)


def summarise(scores: Iterable[LabelScore]) -> list[Summary]:
    """Sum up the scores of many cases.

    Returns:
        One summary for each label, in order of number, and at the end one for all labels, which counts every pair of
        case and label alike.
    """
    scores = list(scores)
    labels = sorted({(score.label, score.name) for score in scores})
    by_label = [sum_up(label, name, [score for score in scores if score.label == label]) for label, name in labels]
    return [*by_label, sum_up(None, "all labels", scores)]


def sum_up(label: int | None, name: str, scores: Sequence[LabelScore]) -> Summary:
    """Count the outcomes, and take mean and deviation of what was scored."""
    outcomes = [score.outcome for score in scores]
    return Summary(
        label=label,
        name=name,
        found=outcomes.count("found"),
        missed=outcomes.count("missed"),
        false=outcomes.count("false"),
        absent=outcomes.count("absent"),
        dice=spread(score.dice for score in scores),
        surface_dice=spread(score.surface_dice for score in scores),
        hd95=spread(score.hd95 for score in scores),
    )


def spread(values: Iterable[float | None]) -> Spread:
    """Mean and deviation of those that are not None."""
    known = [value for value in values if value is not None]
    return Spread(fmean(known), pstdev(known)) if known else Spread(None, None)
