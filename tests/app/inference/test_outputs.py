"""The label map has the requested labels; statistics, pictures and probabilities are written with it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ..conftest import SHAPE, hybridseg, read_volume, voxels_of, write_volume


def test_labels_are_chosen_by_name_or_number(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    words = ("predict", volume("one"), "--bundle", bundle, "-o")
    hybridseg(*words, tmp_path / "all")
    everything = voxels_of(tmp_path / "all" / "one.nii.gz")
    assert set(np.unique(everything)) >= {1, 2}
    for chosen in ("posterior", "2"):
        hybridseg(*words, tmp_path / chosen, "--labels", chosen)
        np.testing.assert_array_equal(voxels_of(tmp_path / chosen / "one.nii.gz"), everything * (everything == 2))
    unknown = hybridseg(*words, tmp_path / "other", "--labels", "liver")
    assert unknown.code == 2
    assert unknown.err == "hybridseg predict: labels: 'liver': must be one of anterior, posterior\n"


def test_small_components_are_removed(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "one.nii.gz", affine=np.diag([1.0, 1.5, 2.0, 1]))
    words = ("predict", image, "--bundle", bundle, "-o")
    hybridseg(*words, tmp_path / "all")
    hybridseg(*words, tmp_path / "large", "--remove-small", "30")  # 10 voxels of 3 mm³
    labels = voxels_of(tmp_path / "all" / "one.nii.gz")
    expected = labels.copy()
    for label in (1, 2):
        found: Any = ndimage.label(labels == label)
        components, count = found
        for number in range(1, count + 1):
            if (components == number).sum() < 10:
                expected[components == number] = 0
    assert 0 < (expected != labels).sum() < (labels > 0).sum()
    np.testing.assert_array_equal(voxels_of(tmp_path / "large" / "one.nii.gz"), expected)
    wrong = hybridseg(*words, tmp_path / "none", "--remove-small", "-1")
    assert (wrong.code, wrong.err) == (2, "hybridseg predict: remove_small: -1.0: must be positive and finite\n")


def test_statistics_picture_and_probabilities_are_written(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    out = tmp_path / "out"
    options = ("--statistics", "--preview", "--probabilities", "--largest-component")
    result = hybridseg("predict", volume("one"), volume("two"), "-o", out, "--bundle", bundle, *options)
    assert result.code == 0, result.err
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


def test_statistics_of_a_case_name_beyond_utf_8_are_written(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "one.nii.gz").rename(tmp_path / os.fsdecode(b"caf\xe9.nii.gz"))
    result = hybridseg("predict", image, "-o", tmp_path / "out", "--bundle", bundle, "--statistics")
    assert result.code == 0, result.err
    assert "caf\\udce9,1,anterior" in (tmp_path / "out" / "statistics.csv").read_text()


def test_picture_of_ct_uses_the_intensity_window_of_the_bundle(tmp_path: Path) -> None:
    hounsfield = np.full((24, 24, 24), -1000, np.int16)
    hounsfield[4:20, 4:20, 4:20] = 50
    hounsfield[10, 10, 10] = 3000  # without a window everything else would be dark
    write_volume(tmp_path / "ct.nii.gz", hounsfield, np.diag([4, 4, 4, 1]))
    words = ("--bundle", "phantom_ct_segmentation", "--labels", "spine", "--preview", "--device", "cpu")
    result = hybridseg("predict", tmp_path / "ct.nii.gz", "-o", tmp_path / "out", *words)
    assert result.code == 0, result.err
    assert "phantom_ct_segmentation was trained on synthetic data" in result.err
    picture = np.asarray(Image.open(tmp_path / "out" / "ct.png").convert("L"))
    assert (np.abs(picture / 255 - 0.5) < 0.02).mean() > 0.05  # 50 HU is the middle of -200 to 300
