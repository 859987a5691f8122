"""`hybridseg bench inference` measures every way, and ours gives the masks of the recipe."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from hybridseg.app.benchmarks.inference_cost import resize
from hybridseg.app.commands.bench_inference import table
from hybridseg.transforms.phantoms import phantom

from ..conftest import hybridseg


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scan = phantom(0, spacing=(4, 4, 5), orientation="LPS", tilt=0)
    path = tmp_path_factory.mktemp("ct") / "ct.nii.gz"
    nib.save(nib.Nifti1Image(scan.image, scan.affine), path)
    return path


@pytest.mark.slow
def test_without_its_optimisations_ours_equals_the_recipe(ct: Path) -> None:
    ways = ["recipe, Gaussian", "defaults", "as the recipe"]
    result = hybridseg("bench", "inference", ct, "--grid", "120", "90", "70", "--ways", *ways, "--json")
    assert result.code == 0, result.err
    rows = {row["way"]: row for row in json.loads(result.out)}
    assert list(rows) == ways
    assert rows["as the recipe"]["dice"] > 0.999
    assert 0.9 < rows["defaults"]["dice"] <= 1
    for row in rows.values():
        assert row["seconds"].keys() == {"read", "prepare", "network", "restore", "write"}
        assert row["all"] > row["but_network"] > 0
        assert row["peak_memory"] > 1e8


@pytest.mark.slow
def test_failed_way_is_reported(ct: Path, tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").write_bytes(ct.read_bytes()[:5000])
    result = hybridseg("bench", "inference", tmp_path / "ct.nii.gz", "--ways", "defaults")
    assert result.code == 1
    assert "must be a whole, readable volume" in result.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ways", "fastest"], "ways: 'fastest': must be one of recipe, "),
        (["--threads", "0"], "threads: 0: must be at least 1"),
        (["--classes", "0"], "classes: 0: must be at least 1"),
        (["--spacing", "0"], "spacing: 0.0: must be positive and finite"),
        (["--bundle", "liver"], "must be the name of a shipped bundle"),
    ],
)
def test_invalid_option_is_one_line(ct: Path, words: list[str], message: str) -> None:
    result = hybridseg("bench", "inference", ct, *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_resized_volume_covers_the_same_extent(ct: Path, tmp_path: Path) -> None:
    resize(ct, (40, 30, 20), tmp_path / "other.nii.gz")
    before, after = sitk.ReadImage(ct), sitk.ReadImage(tmp_path / "other.nii.gz")
    assert after.GetSize() == (40, 30, 20)
    ends = [image.TransformIndexToPhysicalPoint([size - 1 for size in image.GetSize()]) for image in (before, after)]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-3)


def test_table_compares_with_the_defaults() -> None:
    seconds = dict.fromkeys(("read", "prepare", "network", "restore", "write"), 1.0)
    ours = {"way": "defaults", "seconds": seconds, "all": 5.0, "but_network": 4.0, "peak_memory": 1e9, "dice": 0.99}
    theirs = {**ours, "way": "recipe", "all": 50.0, "peak_memory": 4e9, "dice": None}
    header, recipe, *_ = table([theirs, ours]).splitlines()
    assert header.split()[:2] == ["way", "read"]
    assert "50.00 s  10.0x" in recipe
    assert "4.00 GB  4.0x" in recipe
