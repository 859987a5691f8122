"""Score label maps in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridseg.app.labels.files import load_labels
from hybridseg.app.labels.label_maps import LabelMap, resample_labels
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.grid import grid_difference
from hybridseg.transforms.io.names import case_name
from hybridseg.transforms.regions import Regions

from .metrics import LabelScore, score_case
from .references import Reference


def score_files(
    prediction: Path,
    reference: Reference | None,
    *,
    label_names: Mapping[int, str] | None = None,
    regions: Regions | None = None,
    ignore: int | None = None,
    tolerance: float = 1.0,
    resample: bool = False,
) -> list[LabelScore]:
    """Score the label map of one case.

    Args:
        prediction: file of the predicted label map, which names the case.
        reference: file of the reference label map, or of named masks, which are put on the prediction's grid; None if
            there is none.
        label_names: names of the labels to score, by number; None scores all foreground labels of both maps.
        regions: regions to score as a whole, instead of labels.
        ignore: label of the voxels without annotation in the reference, which count for nothing; None if there is none.
        tolerance: of the surface Dice, in mm.
        resample: resample a prediction on another grid to the reference's, by nearest neighbour. What lies outside the
            reference's grid is not scored.

    Returns:
        A score for each label or region.

    Raises:
        ValueError: there is no reference, a file is not a label map, or the grids differ and `resample` is False.
    """
    case = case_name(prediction)
    if reference is None:
        raise VolumeError(prediction, f"no reference named {case}", "every prediction needs a reference of its name")
    predicted, wanted, affine = load_pair(prediction, reference, resample=resample)
    return score_case(
        predicted,
        wanted,
        affine=affine,
        label_names=label_names,
        regions=regions,
        ignore=ignore,
        tolerance=tolerance,
        case=case,
    )


def load_pair(
    prediction: Path, reference: Reference, *, resample: bool = False
) -> tuple[LabelMap, LabelMap, NDArray[np.floating]]:
    """Load a predicted and a reference label map (X, Y, Z) on one grid, and the affine (4, 4) to RAS mm.

    Args:
        prediction: file of the predicted label map.
        reference: file of the reference label map, or of named masks, which are put on the prediction's grid.
        resample: resample a prediction on another grid to the reference's, by nearest neighbour.

    Raises:
        ValueError: a file is not a label map, or the grids differ and `resample` is False.
    """
    predicted, affine = load_labels(prediction)
    wanted, reference_affine = load_labels(reference, grid_of=prediction)
    if difference := grid_difference(predicted.shape, affine, wanted.shape, reference_affine):
        if not resample:
            rule = f"must be on the grid of {reference}, or resampled with --resample"
            raise VolumeError(prediction, difference, rule)
        predicted = resample_labels(predicted, affine, wanted.shape, reference_affine)
    return predicted, wanted, reference_affine
