"""Regions with a threshold of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybridseg.transforms import restore_labels

REGIONS = {"whole": [1, 2], "core": [2]}
PROBABILITIES = torch.tensor([[0.2, 0.45, 0.6, 0.9], [0.1, 0.2, 0.35, 0.8]])[:, :, None, None]


def restored(thresholds: dict[str, float] | None, *, probabilities: bool = False) -> list[int]:
    logits = torch.logit(PROBABILITIES)
    labels = restore_labels(
        logits, np.eye(4), (4, 1, 1), np.eye(4), regions=REGIONS, thresholds=thresholds, probabilities=probabilities
    )
    return labels.ravel().tolist()


@pytest.mark.parametrize("probabilities", [False, True])
def test_threshold_decides_which_voxels_a_region_has(probabilities: bool) -> None:
    assert restored(None, probabilities=probabilities) == [0, 0, 1, 2]
    assert restored({"whole": 0.4}, probabilities=probabilities) == [0, 1, 1, 2]
    assert restored({"core": 0.3}, probabilities=probabilities) == [0, 0, 2, 2]
    assert restored({"whole": 0.7, "core": 0.85}, probabilities=probabilities) == [0, 0, 0, 1]


def test_thresholds_are_for_regions_and_between_0_and_1() -> None:
    with pytest.raises(ValueError, match=r"thresholds: 'edge': 0.4: must be between 0 and 1, for one of whole, core"):
        restored({"edge": 0.4})
    with pytest.raises(ValueError, match=r"thresholds: 'core': 1.0: must be between 0 and 1"):
        restored({"core": 1.0})
    with pytest.raises(ValueError, match=r"thresholds: .*: must be given for regions only"):
        restore_labels(torch.zeros(2, 1, 1, 1), np.eye(4), (1, 1, 1), np.eye(4), thresholds={"core": 0.4})
