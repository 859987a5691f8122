"""Labels of any values, and voxels without annotation, from the dataset to the scores."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from ..conftest import hybridseg, write_volume

EDGE, CASES = 16, 16
BALL, BOX, IGNORE = 500, 820, 900
LABELS = {"background": 0, "ball": BALL, "box": BOX}


def draw_labels(random: np.random.Generator) -> NDArray[np.uint16]:
    """Draw a ball and a box at random places."""
    labels = np.zeros((EDGE, EDGE, EDGE), dtype=np.uint16)
    centre = random.integers([4, 5, 5], [6, 11, 11])
    labels[((np.indices(labels.shape).T - centre) ** 2).sum(-1).T < 14] = BALL
    labels[tuple(slice(first, first + 5) for first in random.integers([9, 2, 2], [11, 9, 9]))] = BOX
    return labels


def make_dataset(folder: Path, cases: int, *, annotated: float = 1.0, ignore: int = IGNORE) -> Path:
    """Write images and labels; with `annotated` below 1, only that share of the slices is annotated."""
    random = np.random.default_rng(0)
    for case in range(cases):
        labels = draw_labels(random)
        bright = np.select([labels == BALL, labels == BOX], [200, 150], 100)
        image = bright + random.normal(0, 5, labels.shape)
        left_out = random.permutation(EDGE)[round(annotated * EDGE) :]
        labels[:, :, left_out] = ignore
        write_volume(folder / "images" / f"case_{case}.nii.gz", image.astype(np.float32))
        write_volume(folder / "labels" / f"case_{case}.nii.gz", labels)
    names = LABELS | ({"ignore": ignore} if annotated < 1 else {})
    (folder / "dataset.json").write_text(json.dumps({"modality": {"0": "MRI"}, "labels": names}))
    return folder


def plan(dataset: Path, bundle: Path, *words: str) -> None:
    """Plan a bundle with a tiny network."""
    tiny = ("--preset", "tiny", "--patch", "16", "16", "16", "--spacing", "1", "1", "1", "--device", "cpu")
    result = hybridseg("plan", dataset, "-o", bundle, "--folds", "2", "--jobs", "1", *tiny, *words)
    assert result.code == 0, result.err


@pytest.mark.slow
def test_half_of_the_slices_teach_nearly_what_all_do(tmp_path: Path) -> None:
    full = make_dataset(tmp_path / "full", CASES)
    dice = {}
    for name, dataset in {"full": full, "half": make_dataset(tmp_path / "half", CASES, annotated=0.5)}.items():
        bundle, run = tmp_path / f"bundle_{name}", tmp_path / f"run_{name}"
        plan(dataset, bundle)
        settings = ["max_epochs=24", "val_interval=12", "learning_rate=0.004", "num_workers=0", "curves=false"]
        words = [word for setting in settings for word in ("--set", setting)]
        trained = hybridseg("train", bundle, dataset, "--run-dir", run, "--device", "cpu", *words)
        assert trained.code == 0, trained.err
        validation = json.loads((bundle / "configs" / "split.json").read_text())["folds"][0]
        images = [full / "images" / f"{case}.nii.gz" for case in validation]
        maps = tmp_path / f"maps_{name}"
        predicted = hybridseg("predict", *images, "-o", maps, "--bundle", bundle, "--checkpoint", run / "model.pt")
        assert predicted.code == 0, predicted.err
        for case in validation:
            written = nib.Nifti1Image.from_filename(maps / f"{case}.nii.gz").get_fdata()
            assert set(np.unique(written)) == {0, BALL, BOX}
        scored = hybridseg("evaluate", maps, full / "labels", "--bundle", bundle, "--json")
        dice[name] = json.loads(scored.out)["overall"]["dice"]["mean"]
    assert dice["full"] > 0.8
    assert dice["half"] > dice["full"] - 0.05
