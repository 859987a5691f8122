"""Score label maps in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hybridseg.app.labels.files import load_labels
from hybridseg.app.labels.label_maps import resample_labels
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import grid_difference, voxel_lengths
from hybridseg.transforms.io.names import case_name
from hybridseg.transforms.regions import Regions

from .metrics import LabelScore, score_case


def score_files(
    prediction: Path,
    reference: Path | None,
    *,
    label_names: Mapping[int, str] | None = None,
    regions: Regions | None = None,
    tolerance: float = 1.0,
    resample: bool = False,
) -> list[LabelScore]:
    """Score the label map of one case.

    Args:
        prediction: its file.
        reference: file of the label map taken for true; None where there is none.
        label_names: the labels to score, and their names; None scores all that occur in one of the two.
        regions: score these instead of labels.
        tolerance: of the surface Dice, in mm.
        resample: put a prediction on another grid onto the reference's, by nearest neighbour. What lies outside the
            reference's grid is not scored.

    Returns:
        A score for each label or region; the case is called as the prediction's file.

    Raises:
        ValueError: there is no reference, a file is no label map, or the two are not on the same grid and `resample` is
            False.
    """
    case = case_name(prediction)
    if reference is None:
        raise VolumeError(prediction, f"no reference named {case}", "every prediction needs a reference of its name")
    predicted, affine = load_labels(prediction)
    wanted, reference_affine = load_labels(reference)
    if fault := grid_difference(predicted.shape, affine, wanted.shape, reference_affine):
        if not resample:
            raise VolumeError(prediction, fault, f"must be on the grid of {reference}, or put there by --resample")
        predicted = resample_labels(predicted, affine, wanted.shape, reference_affine)
    spacing = voxel_lengths(reference_affine).tolist()
    return score_case(
        predicted,
        wanted,
        spacing=spacing,
        label_names=label_names,
        regions=regions,
        tolerance=tolerance,
        case=case,
    )
