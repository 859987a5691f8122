"""One command trains all folds, resumes, and ends in one bundle that is used like any other."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from ...transforms.io.dicom.dicom_files import ORIGIN, write_series
from ...transforms.io.masks.mask_files import corners, write_rtstruct
from ..conftest import hybridseg, predict, voxels_of, write_volume

NAMES = [f"p{patient}_visit{visit}" for patient in range(4) for visit in (1, 2)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four patients with two cases each: noise with a bright box, 18 x 14 x 12 voxels."""
    random = np.random.default_rng(0)
    for name in NAMES:
        labels = np.zeros((18, 14, 12), dtype=np.uint8)
        labels[3:9, 3:10, 3:9] = 1
        labels[9:15, 3:10, 3:9] = 2
        image = random.normal(100, 5, labels.shape) + 40 * labels
        write_volume(tmp_path / "data" / "images" / f"{name}.nii.gz", image.astype(np.float32))
        write_volume(tmp_path / "data" / "labels" / f"{name}.nii.gz", labels)
    return tmp_path / "data"


@pytest.fixture
def trainable(bundle: Path, tmp_path: Path) -> Path:
    """The bundle with a tiny network, ready to train on the dataset."""
    folder = tmp_path / "boxes_mri_segmentation"
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("models"))
    file = folder / "configs" / "train.json"
    config = json.loads(file.read_text())
    config |= {"patch_size": [16, 16, 16], "split_file": None, "num_workers": 0, "val_interval": 1}
    config["network_def"]["preset"] = "tiny"
    file.write_text(json.dumps(config))
    return folder


@pytest.fixture
def contoured(trainable: Path) -> Path:
    """The bundle, trained on contours of these names."""
    for name in ("train.json", "evaluate.json"):
        file = trainable / "configs" / name
        file.write_text(json.dumps({**json.loads(file.read_text()), "rois": {"anterior*": 1, "posterior*": 2}}))
    return trainable


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Four patients with an MR and a CT series, both with contours: noise with two boxes, 18 x 14 x 12 voxels."""
    random = np.random.default_rng(0)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = ORIGIN * [-1, -1, 1]
    folder = tmp_path / "export"
    for patient in range(4):
        image = random.normal(100, 5, (18, 14, 12))
        image[3:9, 3:10, 3:9] += 40
        image[9:15, 3:10, 3:9] += 80
        for number, modality in enumerate(("MR", "CT")):
            place, series = folder / f"p{patient}" / modality, f"1.2.{patient}.{number}"
            tags = {"0008|0060": modality, "0020|000e": series, "0020|0052": "1.2.9"}
            write_series(place, image.astype(np.int16), direction=np.eye(3), spacing=(1, 1, 1), tags=tags)
            rois = {
                name: [corners((x, 3), (x + 5, 9), index, affine) for index in range(3, 9)]
                for name, x in (("anterior_1", 3), ("posterior_1", 9))
            }
            write_rtstruct(place / "mask" / "RS.dcm", rois, series=series)
    return folder


def test_folds_of_dicom_are_of_the_modality_of_the_bundle(contoured: Path, export: Path, tmp_path: Path) -> None:
    words = ("crossval", contoured, export, "-o", tmp_path / "out", "--folds", "2", "--print-commands")
    result = hybridseg(*words)
    assert result.code == 0, result.err
    folds = json.loads((tmp_path / "out" / "split.json").read_text())["folds"]
    assert sorted(case for fold in folds for case in fold) == [f"p{patient}_MR" for patient in range(4)]


def test_bundles_with_other_contours_cannot_be_compared(contoured: Path, export: Path, tmp_path: Path) -> None:
    other = tmp_path / "other_mri_segmentation"
    shutil.copytree(contoured, other)
    file = other / "configs" / "train.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "rois": {"GTV*": 1}}))
    result = hybridseg("crossval", contoured, export, "-o", tmp_path / "out", "--bundles", other)
    assert result.code == 2
    assert f"bundles: {other.name}: must have the channels and rois of {contoured.name}" in result.err


def test_commands_of_the_folds_are_printed(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = shlex.split("--folds 2 --epochs 3 --set learning_rate=0.01")
    words: list[str | Path] = ["crossval", trainable, dataset, "-o", out, *options]
    result = hybridseg(*words, "--print-commands")
    assert result.code == 0, result.err
    first, second, last = result.out.splitlines()
    assert first == " ".join(map(str, ["hybridseg", *words, "--fold", "0"]))
    assert second.endswith("--fold 1")
    assert last.startswith(f"hybridseg crossval {trainable} {dataset} -o {out} --folds 2 --epochs 3")
    assert "hybridseg crossval: 8 cases of 4 patients, by their names: p0_visit1 is of p0" in result.err
    folds = json.loads((out / "split.json").read_text())["folds"]
    assert [len(fold) for fold in folds] == [4, 4]
    (out / "folds" / trainable.name / "fold_0").mkdir(parents=True)
    for name in ("checkpoint_epoch=3.pt", "model.pt"):
        (out / "folds" / trainable.name / "fold_0" / name).touch()
    assert hybridseg(*words, "--print-commands").out.splitlines() == [second, last]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fold", "2", "--folds", "2"], "fold: 2: must be from 0 to 1"),
        (["--folds", "1"], "folds: 1: must be at least 2"),
        (["--folds", "9"], "folds: 9 of 4 patients: every fold needs a patient"),
        (["--patient", "^q"], "patient: '^q': must be found in the name of every case: not in 'p0_visit1'"),
        (["--jobs", "0"], "jobs: 0: must be at least 1"),
        (["--set", "fold=2"], "set: 'fold': must not be set: the cross-validation sets it"),
        (["--set", "batch_size=0"], "set: batch_size: 0: must be a whole number from 1"),
        (["--set", "rois={}"], "set: 'rois': must be set in the bundle's configs, by which the cases are scored"),
        (["--average-weights", "--folds", "2"], "average_weights: needs test cases in the bundle's split file"),
        (["--bundles", "phantom_ct_segmentation"], "bundles: phantom_ct_segmentation: must have the labels of"),
    ],
)
def test_wrong_usage_is_one_line(
    trainable: Path, dataset: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    result = hybridseg("crossval", trainable, dataset, "-o", tmp_path / "out", *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err.splitlines()[-1]
    assert not (tmp_path / "out" / "folds").exists()


def test_folder_keeps_its_folds(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    words: list[str | Path] = ["crossval", trainable, dataset, "-o", tmp_path / "out", "--print-commands"]
    assert hybridseg(*words, "--folds", "2").code == 0
    result = hybridseg(*words, "--folds", "3")
    assert result.code == 2
    assert "folds: 3: must be 2, as for the folds in" in result.err


def test_folder_keeps_the_options_of_its_trainings(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    options = shlex.split("--folds 2 --print-commands")
    words: list[str | Path] = ["crossval", trainable, dataset, "-o", tmp_path / "out", *options]
    assert hybridseg(*words).code == 0
    folder = tmp_path / "out" / "folds" / trainable.name / "fold_0"
    folder.mkdir(parents=True)
    (folder / "trained.json").write_text(json.dumps({"epochs": 3, "options": ["--epochs", "3"]}))
    assert hybridseg(*words, "--epochs", "3").code == 0
    result = hybridseg(*words, "--epochs", "4")
    assert result.code == 2
    assert "trained with --epochs 3: must be trained with --epochs 4; or use another folder" in result.err


def test_other_folders_are_not_written_to(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    result = hybridseg("crossval", trainable, dataset, "-o", trainable.parent)
    assert f"output: {trainable.parent}: holds the bundle, which the result would replace" in result.err
    result = hybridseg("crossval", trainable, dataset, "-o", dataset)
    assert f"output: {dataset}: must be empty, or the folder of an earlier cross-validation" in result.err


@pytest.mark.slow
def test_failed_training_is_reported_and_the_others_run(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    options = shlex.split("--folds 2 --jobs 2 --epochs 1")
    words: list[str | Path] = ["crossval", trainable, dataset, "-o", tmp_path / "out", *options]
    broken = ["--set", "train::sampler::_target_=no.such.class"]
    result = hybridseg(*words, *broken)
    assert result.code == 1
    for fold in (0, 1):
        assert f"fold {fold} of {trainable.name}: training failed: hybridseg train: training failed" in result.err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_folds_become_one_bundle(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = shlex.split("--folds 2 --epochs 2 --device cpu")
    words: list[str | Path] = ["crossval", trainable, dataset, "-o", out, *options]
    one_fold = hybridseg(*words, "--fold", "1")
    assert one_fold.code == 0, one_fold.err
    assert not (out / trainable.name).exists()
    result = hybridseg(*words)
    assert result.code == 0, result.err
    assert "1 of 2 trainings are done" in result.out
    split, record = (json.loads((out / name).read_text()) for name in ("split.json", "crossval.json"))
    for fold, names in enumerate(split["folds"]):
        trained = json.loads((out / "folds" / trainable.name / f"fold_{fold}" / "split.json").read_text())
        assert not {name.split("_")[0] for name in names} & {name.split("_")[0] for name in trained["training"]}
    assert sorted(path.name for path in (out / "predictions" / trainable.name).iterdir()) == [
        f"{name}.nii.gz" for name in NAMES
    ]
    assert record["chosen"] == trainable.name
    assert (out / "report.html").is_file()
    weights = [out / "folds" / trainable.name / f"fold_{fold}" / "model.pt" for fold in (0, 1)]
    scan = dataset / "images" / f"{NAMES[0]}.nii.gz"
    assert predict(trainable, tmp_path / "several", scan, "--checkpoint", *weights).code == 0
    assert predict(out / trainable.name, tmp_path / "one", scan).code == 0
    rules = json.loads((out / trainable.name / "configs" / "inference.json").read_text())["postprocessing"]
    several, one = (voxels_of(tmp_path / name / scan.name) for name in ("several", "one"))
    assert np.array_equal(several, one) or "components" in rules
    again = hybridseg(*words)
    assert again.code == 0
    assert "2 of 2 trainings are done" in again.out
    assert "changed" not in again.err
    write_volume(dataset / "labels" / f"{NAMES[0]}.nii.gz", np.ones((18, 14, 12), np.uint8))
    later = hybridseg(*words, "--fold", "1")
    assert f"fold 1 of {trainable.name}: cases changed since it was trained: changed {NAMES[0]}: remove" in later.err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_dicom_is_trained_on_and_scored_by_its_contours(contoured: Path, export: Path, tmp_path: Path) -> None:
    words = ("-o", tmp_path / "out", "--folds", "2", "--epochs", "2", "--device", "cpu")
    result = hybridseg("crossval", contoured, export, *words)
    assert result.code == 0, result.err
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert {(score["case"], score["name"]) for score in scores} == {
        (f"p{patient}_MR", name) for patient in range(4) for name in ("anterior", "posterior")
    }
    assert {score["reference_voxels"] for score in scores} == {6 * 7 * 6}
    assert "data:image/webp" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_bundles_are_compared_on_the_same_folds(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "wide_mri_segmentation"
    shutil.copytree(trainable, other)
    listed = {"training": NAMES[:4], "validation": NAMES[4:6], "test": NAMES[6:]}
    (tmp_path / "split.json").write_text(json.dumps(listed))
    file = trainable / "configs" / "train.json"
    file.write_text(file.read_text().replace('"split_file": null', f'"split_file": "{tmp_path / "split.json"}"'))
    result = hybridseg(
        *("crossval", trainable, dataset, "-o", tmp_path / "out", "--folds", "2", "--epochs", "1", "--device", "cpu"),
        *("--bundles", other, "--average-weights"),
    )
    assert result.code == 0, result.err
    assert f"{other.name} against {trainable.name}: Dice +0.0000, p 1: not significantly better" in result.out
    assert f"{trainable.name}+{other.name} against {trainable.name}: Dice" in result.out
    assert "test cases, ensemble: mean Dice" in result.out
    assert "test cases, average of the weights: mean Dice" in result.out
    assert json.loads((tmp_path / "out" / "split.json").read_text())["test"] == NAMES[6:]
