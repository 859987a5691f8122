"""A label map keeps what is asked for, and statistics, pictures and probabilities are written beside it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridseg.app.labels.keep import keep_labels, keep_largest_components

from ..conftest import SHAPE, hybridseg, read_volume, voxels_of, write_volume


def test_labels_are_chosen_by_name_or_number(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    words = ("predict", volume("one"), "--bundle", bundle, "-o")
    hybridseg(*words, tmp_path / "all")
    everything = voxels_of(tmp_path / "all" / "one.nii.gz")
    assert set(np.unique(everything)) >= {1, 2}
    for chosen in ("posterior", "2"):
        hybridseg(*words, tmp_path / chosen, "--labels", chosen)
        np.testing.assert_array_equal(voxels_of(tmp_path / chosen / "one.nii.gz"), everything * (everything == 2))
    refused = hybridseg(*words, tmp_path / "other", "--labels", "liver")
    assert refused.code == 2
    assert refused.err == "hybridseg predict: labels: 'liver': must be one of anterior, posterior\n"


def test_statistics_picture_and_probabilities_are_written_beside(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    out = tmp_path / "out"
    options = ("--statistics", "--preview", "--probabilities", "--largest-component")
    outcome = hybridseg("predict", volume("one"), volume("two"), "-o", out, "--bundle", bundle, *options)
    assert outcome.code == 0, outcome.err
    labels = voxels_of(out / "one.nii.gz")
    rows = list(csv.DictReader((out / "statistics.csv").read_text().splitlines()))
    assert [(row["case"], row["name"]) for row in rows] == [
        (case, name) for case in ("one", "two") for name in ("anterior", "posterior")
    ]
    image = voxels_of(tmp_path / "images" / "one.nii.gz")
    assert float(rows[0]["volume_ml"]) == pytest.approx((labels == 1).sum() / 1000)
    assert float(rows[0]["mean"]) == pytest.approx(image[labels == 1].mean(), rel=1e-4)
    assert json.loads((out / "statistics.json").read_text())["labels"][0]["median"] == float(rows[0]["median"])
    assert (out / "two.png").read_bytes().startswith(b"\x89PNG")
    probabilities = read_volume(out / "probabilities" / "one.nii.gz")
    assert probabilities.shape == (*SHAPE, 3)
    np.testing.assert_allclose(probabilities.get_fdata().sum(-1), 1, atol=1e-4)


def test_statistics_of_a_case_whose_name_is_no_utf_8_are_written(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "one.nii.gz").rename(tmp_path / os.fsdecode(b"caf\xe9.nii.gz"))
    outcome = hybridseg("predict", image, "-o", tmp_path / "out", "--bundle", bundle, "--statistics")
    assert outcome.code == 0, outcome.err
    assert "caf\\udce9,1,anterior" in (tmp_path / "out" / "statistics.csv").read_text()


def test_a_picture_of_ct_has_the_window_of_the_bundle(tmp_path: Path) -> None:
    hounsfield = np.full((24, 24, 24), -1000, np.int16)
    hounsfield[4:20, 4:20, 4:20] = 50
    hounsfield[10, 10, 10] = 3000  # without a window all else would be dark beside it
    write_volume(tmp_path / "ct.nii.gz", hounsfield, np.diag([4, 4, 4, 1]))
    words = ("--bundle", "phantom_ct_segmentation", "--labels", "spine", "--preview", "--device", "cpu")
    outcome = hybridseg("predict", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", *words)
    assert outcome.code == 0, outcome.err
    picture = np.asarray(Image.open(tmp_path / "out" / "ct.png").convert("L"))
    assert (np.abs(picture / 255 - 0.5) < 0.02).mean() > 0.05  # 50 HU is the middle of -200 to 300


def test_only_the_largest_piece_stays() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:3, 1:3, 1:3] = 1
    labels[5:8, 5:8, 5:8] = 1
    labels[5:6, 1:2, 1:4] = 4
    expected = labels.copy()
    expected[1:3, 1:3, 1:3] = 0
    keep_largest_components(labels)
    np.testing.assert_array_equal(labels, expected)


def test_labels_that_are_not_kept_become_background() -> None:
    labels = np.array([0, 1, 2, 3, 300], np.uint16)
    np.testing.assert_array_equal(keep_labels(labels, [1, 300, 500]), [0, 1, 0, 0, 300])
    assert keep_labels(labels, [1, 2, 3, *range(4, 301)]) is labels
