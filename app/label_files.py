"""Scores of label maps in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hybridseg.transforms.cases import case_name
from hybridseg.transforms.checks import check_grid
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.geometry import voxel_lengths
from hybridseg.transforms.headers import read_header
from hybridseg.transforms.loading import LoadVolumed

from .scores import LabelScore, score_case

PREDICTION, REFERENCE = "prediction", "reference"
LOAD = LoadVolumed([PREDICTION, REFERENCE], label_keys=[PREDICTION, REFERENCE])


def score_files(
    prediction: Path, reference: Path | None, *, label_names: Mapping[int, str] | None = None, tolerance: float = 1.0
) -> list[LabelScore]:
    """Score the label map of one case.

    Args:
        prediction: its file.
        reference: file of the label map taken for true; None where there is none.
        label_names: the labels to score, and their names; None scores all that occur in one of the two.
        tolerance: of the surface Dice, in mm.

    Returns:
        A score for each label; the case is called as the prediction's file.

    Raises:
        ValueError: there is no reference, a file is no label map, or the two are not on the same grid.
    """
    case = case_name(prediction)
    if reference is None:
        raise VolumeError(prediction, f"no reference named {case}", "every prediction needs a reference of its name")
    check_grid(prediction, read_header(prediction), reference, read_header(reference))
    maps = LOAD({PREDICTION: str(prediction), REFERENCE: str(reference)})
    predicted, wanted = (maps[key][0].numpy().astype(np.int32) for key in (PREDICTION, REFERENCE))
    spacing = voxel_lengths(maps[REFERENCE].affine.numpy()).tolist()
    return score_case(predicted, wanted, spacing=spacing, label_names=label_names, tolerance=tolerance, case=case)
