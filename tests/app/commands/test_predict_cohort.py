"""Cohorts: which files make a case, the record of a run, resuming it, and sharing it between processes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from hybridseg.app.inference.predictor import Predictor
from hybridseg.networks import create_model
from hybridseg.transforms.io.dicom.series import open_series

from ..conftest import SHAPE, hybridseg, read_volume, voxels_of, write_volume


def statistics(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of `statistics.json`, and check that `statistics.csv` has the same cases."""
    rows: list[dict[str, Any]] = json.loads((folder / "statistics.json").read_text())["labels"]
    table = csv.DictReader((folder / "statistics.csv").read_text().splitlines())
    assert [row["case"] for row in table] == [row["case"] for row in rows]
    return rows


KILLED_IN_THE_THIRD_FILE = """
import os, signal, sys
import nibabel as nib
from hybridseg.app.cli import main

to_stream, files = nib.Nifti1Image.to_stream, []

def write_or_die(image, stream):
    files.append(stream)
    if len(files) == 3:
        stream.write(b"half of it")
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    to_stream(image, stream)

nib.Nifti1Image.to_stream = write_or_die
main(sys.argv[1:])
"""
"""A program that runs `hybridseg`, and is killed while it writes the third label map."""


def test_run_record_has_versions_options_and_cases(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    one, bad = volume("one"), volume("bad")
    bad.write_text("not a volume")
    words = ("predict", one, bad, "-o", tmp_path / "out", "--bundle", bundle, "--overlap", "0.25")
    assert hybridseg(*words).code == 1
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["versions"].keys() >= {"hybridseg", "monai", "torch", "python"}
    assert record["bundle"] == str(bundle)
    assert record["checkpoints"] == [str(bundle / "models" / "model.pt")]
    assert record["options"]["overlap"] == 0.25
    assert record["finished"] >= record["started"]
    failed, written = record["cases"]
    assert (failed["outcome"], written["outcome"]) == ("failed", "written")
    assert "must be a whole, readable volume" in failed["error"]
    assert (failed["inputs"], written["inputs"]) == ([str(bad)], [str(one)])
    assert written["peak_memory_bytes"] > 1e8
    write_volume(bad)
    assert hybridseg(*words).code == 0
    again = json.loads((tmp_path / "out" / "run.json").read_text())
    assert again["cases"][0]["outcome"] == "written"
    assert again["cases"][1] == written  # skipped now; the record of the first run is kept


def test_resumed_run_has_the_statistics_of_every_case(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("predict", volume("one"), volume("two"), "--bundle", bundle, "--statistics", "-o")
    assert hybridseg(*words, tmp_path / "whole").code == 0
    infer = Predictor.infer

    def infer_or_stop(predictor: Predictor, case: Any, progress: Any = None) -> Any:
        if case["case"] == "two":
            raise KeyboardInterrupt
        return infer(predictor, case, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "infer", infer_or_stop)
        assert hybridseg(*words, tmp_path / "out").code == 130
    assert (tmp_path / "out" / "one.nii.gz").is_file()
    assert hybridseg(*words, tmp_path / "out").code == 0
    for name in ("statistics.json", "statistics.csv"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_unreadable_existing_label_map_fails_its_case(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one.nii.gz").write_text("an earlier label map")
    words = ("predict", volume("one"), volume("two"), "--bundle", bundle, "--statistics", "-o", tmp_path / "out")
    result = hybridseg(*words)
    assert result.code == 1
    assert "out/one.nii.gz: unreadable" in result.err
    assert (tmp_path / "out" / "one.nii.gz").read_text() == "an earlier label map"
    assert {row["case"] for row in statistics(tmp_path / "out")} == {"two"}


def test_records_of_existing_label_maps_are_kept(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    words = ("predict", "-o", tmp_path / "out", "--bundle", bundle)
    images = [volume(name) for name in ("gone", "kept", "new")]
    assert hybridseg(*words, *images[:2], "--statistics").code == 0
    (tmp_path / "out" / "gone.nii.gz").unlink()
    assert hybridseg(*words, images[2], "--statistics").code == 0
    cases = json.loads((tmp_path / "out" / "run.json").read_text())["cases"]
    assert [(case["case"], case["outcome"]) for case in cases] == [("kept", "written"), ("new", "written")]
    assert {row["case"] for row in statistics(tmp_path / "out")} == {"kept", "new"}


def test_overwriting_a_label_map_removes_its_old_statistics(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    words = ("predict", "-o", tmp_path / "out", "--bundle", bundle)
    one, two = volume("one"), volume("two")
    assert hybridseg(*words, one, two, "--statistics").code == 0
    assert hybridseg(*words, one, "--overwrite").code == 0
    assert {row["case"] for row in statistics(tmp_path / "out")} == {"two"}
    assert hybridseg(*words, two, "--overwrite").code == 0
    assert not list((tmp_path / "out").glob("statistics.*"))


def test_likely_mistakes_are_reported_and_the_case_is_written(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    ct = volume("ct")
    voxels = voxels_of(ct)
    write_volume(ct, voxels - voxels.min() - 1000, read_volume(ct).affine)
    scans = tmp_path / "scans"
    for place in (scans / "ct.nii.gz", scans / "late" / "ct.nii.gz"):
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ct, place)
    words = ("predict", scans, "-o", scans / "labels", "--bundle", bundle)
    result = hybridseg(*words)
    assert result.code == 0
    first, second = result.err.strip().splitlines()
    assert first.endswith(
        "late: a folder with volumes below an input: not searched: name it too, or list its volumes (.csv)"
    )
    assert second.endswith("ct.nii.gz: the lowest voxel is -1000: as low as air in CT, but this pipeline is for MRI")
    assert (scans / "labels" / "ct.nii.gz").is_file()
    assert len(hybridseg(*words).err.splitlines()) == 1  # its own results are not reported
    above = hybridseg("predict", scans, "-o", tmp_path, "--bundle", bundle)
    assert "2 folders with volumes below an input" in above.err  # other folders are, even below its own


def test_output_folder_below_the_input_is_not_an_input(bundle: Path, tmp_path: Path) -> None:
    for slices in (tmp_path / "patient" / "1.dcm", tmp_path / "labels" / "patient.dcm"):
        slices.parent.mkdir()
        slices.write_text("DICOM")
    result = hybridseg("predict", tmp_path, "-o", tmp_path / "labels", "--bundle", bundle, "--json")
    assert [case["case"] for case in json.loads(result.out)] == ["patient"]


def test_dicom_series_and_its_nifti_give_the_same_mask(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "torso" / "dicom"
    with open_series(folder) as series:
        sitk.WriteImage(sitk.ReadImage([str(file) for file in series.files]), tmp_path / "nifti.nii.gz")
    words = (
        "predict",
        folder,
        tmp_path / "nifti.nii.gz",
        "-o",
        tmp_path / "out",
        "--bundle",
        "phantom_ct_segmentation",
    )
    result = hybridseg(*words)
    assert result.code == 0, result.err
    dicom, nifti = (voxels_of(tmp_path / "out" / f"{name}.nii.gz") for name in ("dicom", "nifti"))
    assert set(np.unique(dicom)) > {0}
    np.testing.assert_array_equal(dicom, nifti)


def test_channels_in_separate_files_are_one_case(bundle: Path, tmp_path: Path) -> None:
    two = tmp_path / "two_channels"
    shutil.copytree(bundle, two)
    file = two / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["channels"] = 2
    file.write_text(json.dumps(config))
    torch.save(create_model("tiny", in_channels=2, out_channels=3).state_dict(), two / "models" / "model.pt")
    for channel in range(2):
        write_volume(tmp_path / "in" / f"a_000{channel}.nii.gz", np.random.default_rng(channel).normal(size=SHAPE))
    both = np.stack([read_volume(tmp_path / "in" / f"a_000{channel}.nii.gz").get_fdata() for channel in range(2)], -1)
    write_volume(tmp_path / "in" / "b.nii.gz", both)
    result = hybridseg("predict", tmp_path / "in", "-o", tmp_path / "out", "--bundle", two, "--statistics")
    assert result.code == 0, result.err
    a, b = (voxels_of(tmp_path / "out" / f"{name}.nii.gz") for name in "ab")
    np.testing.assert_array_equal(a, b)
    recorded = json.loads((tmp_path / "out" / "run.json").read_text())["cases"][0]
    assert recorded["inputs"] == [str(tmp_path / "in" / f"a_000{channel}.nii.gz") for channel in range(2)]
    rows = json.loads((tmp_path / "out" / "statistics.json").read_text())["labels"]
    assert [row["channel"] for row in rows] == [0, 1] * 4


@pytest.mark.slow
def test_kill_leaves_complete_files_and_a_resumable_run(bundle: Path, tmp_path: Path) -> None:
    names = [f"case{index}" for index in range(4)]
    for name in names:
        write_volume(tmp_path / "in" / f"{name}.nii.gz")
    words = ["predict", "in", "-o", "out", "--bundle", str(bundle)]
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_THE_THIRD_FILE, *words], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    complete = sorted(tmp_path.glob("out/case*.nii.gz"))
    assert [path.name for path in complete] == ["case0.nii.gz", "case1.nii.gz"]
    for path in complete:
        assert voxels_of(path).shape == SHAPE
    (tmp_path / "in" / "case3.nii.gz").rename(tmp_path / "case3.nii.gz")
    (tmp_path / "out" / "case2.nii.gz").write_bytes(complete[0].read_bytes())  # as if the kill came after the renaming
    command = [sys.executable, "-m", "hybridseg.app", *words]
    skipped = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (skipped.returncode, skipped.stderr) == (0, "")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [case["run"] for case in record["cases"]] == [*record["runs"]] * 3
    (tmp_path / "case3.nii.gz").rename(tmp_path / "in" / "case3.nii.gz")
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [*(f"{name}.nii.gz" for name in names), "run.json"]
    cases = json.loads((tmp_path / "out" / "run.json").read_text())["cases"]
    assert [case["case"] for case in cases] == names
    assert {case["outcome"] for case in cases} == {"written"}


@pytest.mark.slow
def test_torchrun_processes_share_the_cases_and_one_record(bundle: Path, tmp_path: Path) -> None:
    for index in range(5):
        write_volume(tmp_path / "in" / f"case{index}.nii.gz")
    (tmp_path / "in" / "case3.nii.gz").write_text("not a volume")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    words = ["-m", "hybridseg.app", "predict", "in", "-o", "out", "--bundle", str(bundle), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *words], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    cases: list[dict[str, Any]] = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("[\n") :])[0]
    assert sorted(case["case"] for case in cases) == [f"case{index}" for index in range(5)]
    assert sum(case["outcome"] == "written" for case in cases) == 4
    assert len(list(tmp_path.glob("out/*.nii.gz"))) == 4
    assert len(json.loads((tmp_path / "out" / "run.json").read_text())["cases"]) == 5
