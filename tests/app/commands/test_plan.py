"""`hybridseg plan` on real files: the bundle trains, cases with problems are left out, nothing is measured twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hybridseg.transforms.phantoms import write_heads, write_phantoms

from ..conftest import FAST_PLAN, hybridseg, read_volume, write_volume


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "organs", 5, seed=4)


@pytest.fixture(scope="module")
def planned(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("planned") / "organs_ct_segmentation"
    result = hybridseg("plan", phantoms, "-o", bundle, *FAST_PLAN)
    assert result.code == 0, result.err
    assert "5 cases in decathlon layout, 5 without problems" in result.out
    assert " for each fold on cpu " in result.out
    assert "a tenth of it, " in result.out
    return bundle


def broken_copy(phantoms: Path, folder: Path) -> Path:
    """Copy the phantoms; one case has a NaN voxel, one the image of another, and one no label map."""
    shutil.copytree(phantoms, folder)
    bad = folder / "imagesTr" / "phantom_001.nii.gz"
    image = read_volume(bad)
    voxels = np.asarray(image.dataobj, np.float32)
    voxels[0, 0, 0] = np.nan
    write_volume(bad, voxels, image.affine)
    for kind in ("imagesTr", "labelsTr"):
        shutil.copy(folder / kind / "phantom_000.nii.gz", folder / kind / "phantom_003.nii.gz")
    (folder / "labelsTr" / "phantom_004.nii.gz").unlink()
    return folder


def test_record_and_readme_have_every_decision(planned: Path) -> None:
    plan = json.loads((planned / "plan.json").read_text())
    train = json.loads((planned / "configs" / "train.json").read_text())
    decisions = {decision["name"]: decision for decision in plan["decisions"]}
    for name in ("patch_size", "spacing", "preset"):
        assert decisions[name]["reason"] == "Given by the user."
    for name in ("spacing", "window", "patch_size", "batch_size", "patches", "flip_axes", "max_epochs", "label_names"):
        assert train[name] == decisions[name]["value"]
    assert train["network_def"]["preset"] == decisions["preset"]["value"] == "tiny"
    readme = (planned / "docs" / "README.md").read_text()
    for name, decision in decisions.items():
        assert f"| `{name}` |" in readme
        assert decision["reason"] in readme


def test_plan_for_a_given_time_is_written(phantoms: Path, tmp_path: Path) -> None:
    result = hybridseg("plan", phantoms, "-o", tmp_path / "bundle", *FAST_PLAN, "--hours", "100")
    assert result.code == 0, result.err
    assert "more steps are not expected to improve the result" in result.out
    plan = json.loads((tmp_path / "bundle" / "plan.json").read_text())
    train = json.loads((tmp_path / "bundle" / "configs" / "train.json").read_text())
    assert (plan["time"]["budget_seconds"], plan["time"]["steps"]) == (360000, 5000)
    assert 0 < plan["time"]["seconds"] < 360000
    assert (train["max_epochs"], train["val_interval"], train["patience"]) == (50, 2, 25)
    assert train["samples_per_epoch"] == 100 * train["batch_size"]


def test_folds_hold_every_case_once(planned: Path) -> None:
    folds = json.loads((planned / "configs" / "split.json").read_text())["folds"]
    assert sorted(name for fold in folds for name in fold) == [f"phantom_{number:03}" for number in range(5)]


def test_planned_bundle_trains_and_predicts(planned: Path, phantoms: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(planned / "configs" / "train.json")]
    words += ["--max_epochs", "1", "--num_workers", "0", "--device", "cpu", "--fold", "3"]
    finished = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-3000:]
    (run,) = (tmp_path / "runs").iterdir()
    held_out = json.loads((planned / "configs" / "split.json").read_text())["folds"][3]
    assert json.loads((run / "split.json").read_text())["validation"] == held_out
    image = phantoms / "imagesTr" / "phantom_000.nii.gz"
    result = hybridseg("predict", image, "-o", tmp_path, "--bundle", planned, "--checkpoint", run / "model.pt")
    assert result.code == 0, result.err
    assert read_volume(tmp_path / "phantom_000.nii.gz").shape == read_volume(image).shape


def test_cases_with_problems_are_reported_and_left_out(phantoms: Path, tmp_path: Path) -> None:
    dataset = broken_copy(phantoms, tmp_path / "data")
    result = hybridseg("plan", dataset, "-o", tmp_path / "bundle", *FAST_PLAN, "--json")
    assert result.code == 1
    first, second, third, found = result.err.strip().splitlines()
    assert found.endswith("2 without problems")
    assert "phantom_001 is left out: " in first
    assert "NaN" in first
    assert "phantom_003 is left out: " in second
    assert "the same voxels as case 'phantom_000'" in second
    assert "phantom_004 is left out: " in third
    assert "phantom_004.nii.gz: does not exist: a case needs a label and" in third
    split = json.loads((tmp_path / "bundle" / "configs" / "split.json").read_text())
    assert sorted(name for fold in split["folds"] for name in fold) == ["phantom_000", "phantom_002"]
    assert list(json.loads(result.out)["left_out"]) == ["phantom_001", "phantom_003", "phantom_004"]


def test_measured_cases_are_not_measured_again(planned: Path, phantoms: Path) -> None:
    results = sorted((planned / "plan" / "cases").iterdir())
    written = [result.stat().st_mtime_ns for result in results]
    train = (planned / "configs" / "train.json").read_text()
    assert hybridseg("plan", phantoms, "-o", planned, *FAST_PLAN).code == 0
    assert [result.stat().st_mtime_ns for result in results] == written
    assert (planned / "configs" / "train.json").read_text() == train


def test_cases_of_a_patient_share_a_fold(phantoms: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    for number in range(5):
        for kind, target in (("imagesTr", "images"), ("labelsTr", "labels")):
            (dataset / target).mkdir(parents=True, exist_ok=True)
            source = phantoms / kind / f"phantom_{number:03}.nii.gz"
            shutil.copy(source, dataset / target / f"patient{number // 2}_{number}.nii.gz")
    result = hybridseg(
        "plan", dataset, "-o", tmp_path / "bundle", *FAST_PLAN, "--patient", "^[^_]+", "--channels", "CT"
    )
    assert result.code == 0, result.err
    decisions = json.loads((tmp_path / "bundle" / "plan.json").read_text())["decisions"]
    assert {"name": "modality", "value": "CT"}.items() <= decisions[3].items()  # pairs cannot say so themselves
    folds = json.loads((tmp_path / "bundle" / "configs" / "split.json").read_text())["folds"]
    assert sorted(folds) == [["patient0_0", "patient0_1"], ["patient1_2", "patient1_3"], ["patient2_4"]]


def test_regions_are_segmented_in_place_of_labels(tmp_path: Path) -> None:
    heads = write_heads(tmp_path / "heads", 2, seed=0)
    regions = ("--regions", "whole=1,2,3", "core=2,3", "enhancing=3")
    result = hybridseg("plan", heads, "-o", tmp_path / "bundle", *FAST_PLAN, *regions)
    assert result.code == 0, result.err
    train = json.loads((tmp_path / "bundle" / "configs" / "train.json").read_text())
    assert train["regions"] == {"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
    assert train["network_def"]["out_channels"] == "$len(@regions)"
    assert train["channels"] == 4
    assert "for whole, core, enhancing in MRI" in (readme := (tmp_path / "bundle" / "docs" / "README.md").read_text())
    assert "The network predicts regions: whole (labels 1, 2, 3); core (labels 2, 3); enhancing (labels 3)." in readme
    decisions = json.loads((tmp_path / "bundle" / "plan.json").read_text())["decisions"]
    reasons = {decision["name"]: decision["reason"] for decision in decisions}
    assert "1 per epoch (training cases: 1)" in reasons["max_epochs"]  # of two, each a fold


def test_folder_with_other_files_is_left_alone(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    result = hybridseg("plan", phantoms, "-o", tmp_path, *FAST_PLAN)
    assert result.code == 2
    assert "must be empty, or the folder of an earlier plan (with plan.json)" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_folder_named_plan_does_not_mark_a_planned_bundle(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "plan").mkdir()
    (tmp_path / "LICENSE").write_text("mine")
    result = hybridseg("plan", phantoms, "-o", tmp_path, *FAST_PLAN)
    assert result.code == 2
    assert "must be empty, or the folder of an earlier plan" in result.err
    assert (tmp_path / "LICENSE").read_text() == "mine"


def test_bundle_with_weights_is_not_planned_again(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "plan.json").write_text("{}")
    result = hybridseg("plan", phantoms, "-o", tmp_path, *FAST_PLAN)
    assert result.code == 2
    assert "holds weights in models, trained by its earlier plan: use another folder" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory", "lots"], "memory: 'lots': must be a size such as 8GB or 500MB"),
        (["--memory", "0GB"], "memory: '0GB': must be a size"),
        (["--memory", "1MB"], "memory: 0.001 GB: must hold a step with the patch, 32 x 32 x 32"),
        (["--hours", "0"], "hours: 0.0: must be positive and finite"),
        (["--folds", "1"], "folds: 1: must be at least 2"),
        (["--jobs", "0"], "jobs: 0: must be at least 1"),
        (["--patient", "("], "patient: '(': must be a regular expression"),
        (["--patient", "nobody"], "patient: 'nobody': must be found in the name of every case: not in 'phantom_000'"),
        (["--patient", "phantom"], "patients with cases without problems: 1: must be at least 2"),
        (["--regions", "core"], "regions: 'core': must be NAME=LABELS"),
        (["--regions", "all=1,2", "all=2"], "regions: 'all': must be named once"),
        (["--preset", "huge"], "preset: 'huge': must be one of tiny, small, light, base"),
        (["--spacing", "0", "1", "1"], "spacing: (0.0, 1.0, 1.0): must be positive and finite"),
        (["--spacing", "nan", "1", "1"], "spacing: (nan, 1.0, 1.0): must be positive and finite"),
        (["--spacing", "inf", "1", "1"], "spacing: (inf, 1.0, 1.0): must be positive and finite"),
        (["--device", "abacus"], "device: 'abacus'"),
    ],
)
def test_wrong_usage_is_a_one_line_error(words: list[str], message: str, phantoms: Path, tmp_path: Path) -> None:
    given = [word for word in FAST_PLAN if word not in ("--device", "cpu")] if "--device" in words else FAST_PLAN
    result = hybridseg("plan", phantoms, "-o", tmp_path / "bundle", *given, *words)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "bundle" / "configs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--regions", "all=1,2,3,4,5", "again=5,4,3,2,1"], "regions: 'all': [1, 2, 3, 4, 5], all in later regions"),
        (["--device", "cuda:99"], "device: 'cuda:99'"),
        (["--channels", "T1", "T2"], "channels: 2 names: must be 1, one for each in an image"),
        (["--patient", "1$"], "patient: '1$': must be found in the name of every case: not in 'phantom_000'"),
    ],
)
def test_options_are_checked_before_cases_are_measured(
    words: list[str], message: str, phantoms: Path, tmp_path: Path
) -> None:
    result = hybridseg("plan", phantoms, "-o", tmp_path / "bundle", *words)
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "bundle").exists()


def test_missing_dataset_is_a_one_line_error(tmp_path: Path) -> None:
    result = hybridseg("plan", tmp_path / "nowhere", "-o", tmp_path / "bundle")
    assert result.code == 2
    assert "nowhere: not a folder" in result.err
    assert result.err.count("\n") == 1
