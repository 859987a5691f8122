"""`hybridseg predict` writes a label map on the grid of each volume, and reports bad files."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from hybridseg.app.inference.predictor import Predictor

from ..conftest import SHAPE, CommandResult, hybridseg, read_volume, write_volume

NOISE = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
OBLIQUE = np.array([[0.9, -0.3, 0, 5], [0.3, 0.9, 0.2, -7], [0, -0.2, 1.6, 3], [0, 0, 0, 1]])
GRIDS = {"flipped": np.diag([-1.0, -1, 1.2, 1]), "permuted": np.eye(4)[[2, 0, 1, 3]], "oblique": OBLIQUE}


def truncated(path: Path) -> None:
    """Write a compressed volume that ends early."""
    whole = write_volume(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def changed(value: float) -> Callable[[Path], object]:
    """Return a writer of a volume in which one voxel has this value."""
    voxels = NOISE.copy()
    voxels[3, 4, 5] = value
    return lambda path: write_volume(path, voxels)


def with_axes(matrix: Any) -> Callable[[Path], None]:
    """Return a writer of a volume whose sform has these axes."""

    def write(path: Path) -> None:
        image = nib.Nifti1Image(NOISE, np.eye(4))
        image.header.set_sform(matrix, code=1)
        image.header.set_qform(None, code=0)
        path.write_bytes(gzip.compress(nib.Nifti1Image(NOISE, None, image.header).to_bytes()))

    return write


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("not a volume"), "must be a whole, readable volume"),
    "truncated": (truncated, "must be a whole, readable volume"),
    "nan": (changed(np.nan), "1 of 3024 voxels are NaN or infinite: every voxel must be finite"),
    "infinite": (changed(np.inf), "1 of 3024 voxels are NaN or infinite: every voxel must be finite"),
    "flat": (lambda path: write_volume(path, NOISE[0]), "2 dimensions (14, 12): must have 3"),
    "series": (
        lambda path: write_volume(path, np.stack([NOISE] * 3, -1)),
        "3 channels (shape (18, 14, 12, 3)): must have 1",
    ),
    "zero_affine": (with_axes(np.zeros((4, 4))), "the affine must be finite"),
    "singular_affine": (with_axes(np.diag([1.0, 1, 0, 1])), "the affine must be finite"),
    "no_voxels": (lambda path: write_volume(path, NOISE[:0]), "every axis must have at least one voxel"),
    "all_zero": (lambda path: write_volume(path, 0 * NOISE), "all voxels are 0: voxels must differ"),
    "constant": (lambda path: write_volume(path, 0 * NOISE + 7), "all voxels are 7: voxels must differ"),
}


@pytest.fixture(scope="module")
def bad_run(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CommandResult, Path]:
    """Run over every kind of bad file between two good ones; give the result and the output folder."""
    folder = tmp_path_factory.mktemp("bad_run")
    (folder / "images").mkdir()
    for name, (write, _) in BAD_FILES.items():
        write(folder / "images" / f"{name}.nii.gz")
    for name in ("a_good_one", "zz_good_one"):
        write_volume(folder / "images" / f"{name}.nii.gz")
    return hybridseg("predict", folder / "images", "-o", folder / "out", "--bundle", bundle), folder / "out"


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_reported_with_file_value_and_rule(bad_run: tuple[CommandResult, Path], name: str) -> None:
    result, _ = bad_run
    (line,) = (line for line in result.err.splitlines() if f"{name}.nii.gz" in line)
    assert line.startswith("hybridseg predict: ")
    assert f"images/{name}.nii.gz: " in line
    assert BAD_FILES[name][1] in line


def test_other_cases_continue_after_bad_files(bad_run: tuple[CommandResult, Path]) -> None:
    result, output = bad_run
    assert result.code == 1
    assert result.out == f"2 of {len(BAD_FILES) + 2} cases written to {output}\n"
    assert len(result.err.splitlines()) == len(BAD_FILES)
    assert sorted(path.name for path in output.iterdir()) == ["a_good_one.nii.gz", "run.json", "zz_good_one.nii.gz"]


@pytest.mark.parametrize("name", GRIDS)
def test_labels_are_on_the_grid_of_the_volume(bundle: Path, tmp_path: Path, name: str) -> None:
    image = write_volume(tmp_path / f"{name}.nii", NOISE, GRIDS[name])
    assert hybridseg("predict", image, "-o", tmp_path / "out", "--bundle", bundle).code == 0
    volume, labels = read_volume(image), read_volume(tmp_path / "out" / f"{name}.nii.gz")
    assert labels.shape == SHAPE
    assert labels.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(labels.affine, volume.affine)
    assert set(np.unique(labels.dataobj)) <= {0, 1, 2}


@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
def test_labels_of_itk_formats_keep_the_geometry(bundle: Path, tmp_path: Path, extension: str) -> None:
    image = sitk.GetImageFromArray(NOISE.T)
    image.SetSpacing((1.0, 1.5, 2.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    sitk.WriteImage(image, tmp_path / f"scan{extension}")
    assert hybridseg("predict", tmp_path / f"scan{extension}", "-o", tmp_path / "out", "--bundle", bundle).code == 0
    labels = sitk.ReadImage(tmp_path / "out" / "scan.nii.gz")
    assert labels.GetSize() == image.GetSize()
    np.testing.assert_allclose(labels.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(labels.GetSpacing(), image.GetSpacing(), atol=1e-4)


def test_existing_label_map_is_kept_unless_overwrite_is_set(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one.nii.gz").write_text("an earlier label map")
    words = ("predict", volume("one"), volume("two"), "-o", tmp_path / "out", "--bundle", bundle)
    kept = hybridseg(*words)
    assert kept.code == 0
    assert kept.out.endswith("1 skipped: already there (use --overwrite to segment them again)\n")
    assert (tmp_path / "out" / "one.nii.gz").read_text() == "an earlier label map"
    assert hybridseg(*words, "--overwrite").out == f"2 of 2 cases written to {tmp_path / 'out'}\n"
    assert read_volume(tmp_path / "out" / "one.nii.gz").shape == SHAPE


def test_json_has_the_record_of_each_case(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    images = [volume("bad"), volume("good"), volume("old")]
    images[0].write_text("not a volume")
    write_volume(tmp_path / "out" / "old.nii.gz")
    result = hybridseg("predict", *images, "-o", tmp_path / "out", "--bundle", bundle, "--json")
    assert result.code == 1
    cases = {case["case"]: case for case in json.loads(result.out)}
    assert {name: case["outcome"] for name, case in cases.items()} == {
        "bad": "failed",
        "good": "written",
        "old": "skipped",
    }
    assert cases["good"]["output"] == str(tmp_path / "out" / "good.nii.gz")
    assert cases["good"]["seconds"].keys() == {"preparing", "network", "writing"}
    assert "must be a whole, readable volume" in cases["bad"]["error"]


def test_unexpected_error_is_one_line_with_its_type(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = Predictor.infer

    def infer_or_fail(predictor: Predictor, case: Any, progress: Any = None) -> Any:
        if case["case"] == "one":
            raise MemoryError("70 GB")
        return infer(predictor, case, progress)

    monkeypatch.setattr(Predictor, "infer", infer_or_fail)
    one = volume("one")
    result = hybridseg("predict", one, volume("two"), "-o", tmp_path / "out", "--bundle", bundle)
    assert result.code == 1
    assert result.err == f"hybridseg predict: {one}: MemoryError: 70 GB\n"
    assert result.out == f"1 of 2 cases written to {tmp_path / 'out'}\n"


def test_interrupt_stops_all_cases(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "infer", interrupt)
    result = hybridseg("predict", volume("one"), volume("two"), "-o", tmp_path / "out", "--bundle", bundle)
    message = "interrupted: 0 of 2 written; repeat the command to continue"
    assert (result.code, result.out, result.err) == (130, "", f"hybridseg predict: {message}\n")


def test_process_prints_only_our_own_messages(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "hybridseg.app",
        "predict",
        volume("one"),
        "-o",
        "out",
        "--bundle",
        bundle,
    ]
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    line = r"hybridseg predict: 1 of 1: one: written \(preparing \d+\.\d s, network \d+\.\d s, writing \d+\.\d s\)\n"
    assert done.returncode == 0
    assert re.fullmatch(line, done.stderr)
    assert done.stdout == "1 of 1 cases written to out\n"
    again = hybridseg(*command[3:], "--overwrite", "--quiet")
    assert (again.code, again.err, again.progress) == (0, "", [])
