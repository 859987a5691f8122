"""Metrics of a label map against its reference, label by label; empty labels are counted, not averaged away.

Dice, surface Dice and the distances between surfaces are MONAI's. The surface Dice measures surface area as in Nikolov
et al. 2021 (https://arxiv.org/abs/1809.04430), which the Medical Segmentation Decathlon uses too. HD95 and ASSD count
surface voxels, those with a face on the outside, all with equal weight. See `sheared` for axes not at right angles.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from monai.metrics import compute_dice, compute_surface_dice
from monai.metrics.utils import get_edge_surface_distance
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from hybridseg.app.labels.label_maps import LabelMap, count_labels
from hybridseg.transforms.grid import voxel_volume_ml
from hybridseg.transforms.regions import Regions, region_labels

from .sheared import is_sheared, surface_dice, surface_distances

Outcome = Literal["found", "missed", "false", "absent"]
Box = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """Scores of one label, or of one region of several labels, in one case.

    Args:
        case: name of the case.
        label: number of the label; for a region, the label that it writes.
        name: name of the label or region.
        outcome: `found`, in both label maps; `missed`, only in the reference; `false`, only in the prediction;
            `absent`, in neither, so that nothing is scored.
        reference_voxels: voxels with the label in the reference.
        prediction_voxels: voxels with the label in the prediction.
        reference_ml: volume in the reference, in ml; None if absent.
        prediction_ml: volume in the prediction, in ml; None if absent.
        volume_difference_ml: prediction minus reference, in ml: positive if too much was predicted; None if absent.
        dice: 0 to 1; 0 if missed or false, None if absent.
        surface_dice: 0 to 1, share of both surfaces within the tolerance of the other; 0 if missed or false, None if
            absent. This and the distances are None too if the label touches voxels without annotation.
        hd95: in mm; the larger of the 95th percentiles of the distances from one surface to the other. None unless
            found, since the distance to a missing surface is undefined.
        assd: in mm; average symmetric surface distance: the mean distance to the other surface over the surface voxels
            of both, pooled, so that the larger surface weighs more. None unless found.
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


class Agreement(NamedTuple):
    """Dice, surface Dice, HD95 (mm) and ASSD (mm) of two masks; None where a metric is undefined."""

    dice: float | None = None
    surface_dice: float | None = None
    hd95: float | None = None
    assd: float | None = None


def score_case(
    prediction: LabelMap,
    reference: LabelMap,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    affine: NDArray[np.floating] | None = None,
    label_names: Mapping[int, str] | None = None,
    regions: Regions | None = None,
    ignore: int | None = None,
    tolerance: float = 1.0,
    case: str = "",
) -> list[LabelScore]:
    """Score a prediction against its reference.

    Voxels without annotation count for nothing: neither their prediction nor their volume. Where a label touches them
    in either map, its border there is that of the annotation, not of the structure, so surface Dice and distances are
    None.

    Args:
        prediction: labels (X, Y, Z).
        reference: labels (X, Y, Z) on the same grid.
        spacing: voxel size along (X, Y, Z), in mm, of axes at right angles.
        affine: (4, 4), voxel indices to mm, of axes at any angles; instead of the spacing.
        label_names: names of the labels to score, by number; None scores all foreground labels of both maps.
        regions: regions to score as a whole, instead of labels.
        ignore: label of the voxels without annotation in the reference; None if there is none.
        tolerance: of the surface Dice, in mm.
        case: name of the case.

    Returns:
        A score for each label or region.

    Raises:
        ValueError: the shapes differ, a label is not positive, or the regions are invalid (see `region_labels`).

    Examples:
        >>> import numpy as np
        >>> from hybridseg.app.evaluation import score_case
        >>> reference = np.zeros((8, 8, 8), dtype=np.uint8)
        >>> reference[2:6, 2:6, 2:6] = 1
        >>> prediction = np.roll(reference, 1, axis=2)
        >>> (score,) = score_case(prediction, reference, spacing=(1.0, 1.0, 3.0), label_names={1: "cube"})
        >>> score.outcome, score.dice, score.hd95, score.volume_difference_ml
        ('found', 0.75, 3.0, 0.0)
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction: shape {prediction.shape}: must be that of the reference, {reference.shape}")
    if affine is None:
        affine = np.diag([*spacing, 1.0])
    ignored = np.zeros(0, bool) if ignore is None else reference == ignore
    if ignored.any():
        prediction, reference = np.where(ignored, 0, prediction), np.where(ignored, 0, reference)
        ignored = np.asarray(ndimage.binary_dilation(ignored), bool)
    voxel_ml = voxel_volume_ml(affine)
    counts = [count_labels(labels) for labels in (prediction, reference)]
    boxes = [ndimage.find_objects(labels) for labels in (prediction, reference)]
    if label_names is None:
        label_names = {int(label): str(label) for label in np.union1d(*map(np.flatnonzero, counts)) if label}
    scores = []
    for label, name, members in parts_to_score(label_names, regions):
        predicted, wanted = (sum(int(count[member]) for member in members if member < len(count)) for count in counts)
        outcome = outcome_of(predicted, wanted)
        scored = outcome != "absent"
        agreement = Agreement(dice=0.0, surface_dice=0.0) if scored else Agreement()
        if outcome == "found":
            candidates = [found[member - 1] for found in boxes for member in members if member <= len(found)]
            box = union([candidate for candidate in candidates if candidate is not None])
            predicted_mask, wanted_mask = (mask_of(labels[box], members) for labels in (prediction, reference))
            touches_ignored = ignored.any() and (ignored[box] & (predicted_mask | wanted_mask)).any()
            agreement = compare_masks(
                predicted_mask,
                wanted_mask,
                axes=affine[:3, :3].astype(np.float64),
                tolerance=tolerance,
                surfaces=not touches_ignored,
            )
        score = LabelScore(
            case=case,
            label=label,
            name=name,
            outcome=outcome,
            reference_voxels=wanted,
            prediction_voxels=predicted,
            reference_ml=round(wanted * voxel_ml, 6) if scored else None,
            prediction_ml=round(predicted * voxel_ml, 6) if scored else None,
            volume_difference_ml=round((predicted - wanted) * voxel_ml, 6) if scored else None,
            **agreement._asdict(),
        )
        scores.append(score)
    return scores


def parts_to_score(label_names: Mapping[int, str], regions: Regions | None) -> list[tuple[int, str, Sequence[int]]]:
    """List number, name and member labels of each region or, without regions, of each label.

    Raises:
        ValueError: a label is not positive, or the regions are invalid (see `region_labels`).
    """
    if unusable := [label for label in label_names if label < 1]:
        raise ValueError(f"label_names: {unusable[0]}: labels are numbered from 1")
    if regions is None:
        return [(label, name, [label]) for label, name in label_names.items()]
    return list(zip(region_labels(regions), regions, regions.values(), strict=True))


def outcome_of(prediction_voxels: int, reference_voxels: int) -> Outcome:
    """Return the outcome for a label with these numbers of voxels."""
    if prediction_voxels and reference_voxels:
        return "found"
    if reference_voxels:
        return "missed"
    return "false" if prediction_voxels else "absent"


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around boxes; MONAI adds the margin that surfaces need."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )


def mask_of(labels: LabelMap, members: Sequence[int]) -> NDArray[np.bool_]:
    """Return the mask of the voxels that have one of the labels."""
    mask: NDArray[np.bool_] = labels == members[0]
    for member in members[1:]:
        mask |= labels == member
    return mask


def compare_masks(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    axes: NDArray[np.float64],
    tolerance: float,
    surfaces: bool = True,
) -> Agreement:
    """Compare two masks (X, Y, Z), neither of them empty.

    Args:
        prediction: the mask of the prediction.
        reference: the mask of the reference.
        axes: (3, 3), in its columns the step from voxel to voxel along each axis, in mm.
        tolerance: of the surface Dice, in mm.
        surfaces: compare the surfaces too, which takes most of the time.
    """
    first, second = (torch.from_numpy(np.ascontiguousarray(mask)) for mask in (prediction, reference))
    with warnings.catch_warnings():  # MONAI 1.6 warns of a deprecated argument that it passes itself
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        dice = compute_dice(first[None, None], second[None, None], include_background=True).item()
        if not surfaces:
            return Agreement(dice=round(dice, 6))
        compare = compare_sheared if is_sheared(axes) else compare_upright
        surface, distances = compare(first, second, axes, tolerance)
    hd95 = max(float(np.percentile(one_way.numpy(), 95)) for one_way in distances)
    assd = torch.cat([*distances]).mean(dtype=torch.float64).item()
    return Agreement(*(round(value, 6) for value in (dice, surface, hd95, assd)))


def compare_upright(
    first: Tensor, second: Tensor, axes: NDArray[np.float64], tolerance: float
) -> tuple[float, Sequence[Tensor]]:
    """Return surface Dice, and distances in mm between surface voxels in both directions, for axes at right angles."""
    spacing = np.linalg.norm(axes, axis=0).tolist()
    surface = compute_surface_dice(
        first[None, None], second[None, None], [tolerance], include_background=True, spacing=spacing, use_subvoxels=True
    ).item()
    # MONAI's Hausdorff and average surface distance both begin with this; calling them would compute it twice.
    _, distances, _ = get_edge_surface_distance(first, second, spacing=spacing, symmetric=True)
    return surface, distances


def compare_sheared(
    first: Tensor, second: Tensor, axes: NDArray[np.float64], tolerance: float
) -> tuple[float, Sequence[Tensor]]:
    """Return what `compare_upright` does, for axes at any angles."""
    return surface_dice(first, second, axes, tolerance), surface_distances(first, second, axes)
