"""Ten cases in two folds, and scores for them."""

from __future__ import annotations

from hybridseg.app.crossval.split import Split
from hybridseg.app.evaluation.metrics import LabelScore

CASES = [f"case_{index}" for index in range(10)]
SPLIT = Split(folds=[CASES[:5], CASES[5:]], test=[], patients={case: case for case in CASES})


def score(case: str, dice: float) -> LabelScore:
    """Return the score of a case with this Dice."""
    return LabelScore(
        case=case,
        label=1,
        name="organ",
        outcome="found",
        reference_voxels=1,
        prediction_voxels=1,
        reference_ml=1.0,
        prediction_ml=1.0,
        volume_difference_ml=0.0,
        dice=dice,
        surface_dice=1.0,
        hd95=0.0,
        assd=0.0,
    )
