"""The phantom bundle runs by `python -m monai.bundle run` from any working directory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from hybridseg.app.inference.predictor import Predictor
from hybridseg.bundles import bundle_path
from hybridseg.transforms.phantoms import write_phantoms

BUNDLE = bundle_path("phantom_ct_segmentation")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 4, seed=3, test_count=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The working directory; the tests of this module build on each other's runs."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def run(dataset, folder) -> Run:
    def bundle_run(
        *configs: str, launcher: tuple[str, ...] = (), **overrides: object
    ) -> subprocess.CompletedProcess[str]:
        files = [str(BUNDLE / "configs" / name) for name in configs]
        overrides = {"dataset_dir": dataset, "run_dir": "run", "device": "cpu", **overrides}
        options = [entry for key, value in overrides.items() for entry in (f"--{key}", str(value))]
        command = [sys.executable, *launcher, "-m", "monai.bundle", "run", "--config_file", str(files), *options]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)

    return bundle_run


@pytest.fixture(scope="module")
def trained(run, folder) -> Path:
    """The folder of a run of one epoch."""
    finished = run("train.json", max_epochs=1, val_interval=1)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return folder / "run"


def test_training_writes_weights_checkpoint_split_and_curves(trained):
    weights = torch.load(trained / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    assert (trained / "checkpoint_epoch=1.pt").is_file()
    assert list(trained.glob("events.out.tfevents.*"))
    assert {"progress.csv", "progress.png", "overlays.png"} <= {path.name for path in trained.iterdir()}
    split = json.loads((trained / "split.json").read_text())
    assert len(split["training"]) == 3
    assert len(split["validation"]) == 1


def test_run_is_resumed_from_its_last_epoch(trained, run):
    before = torch.load(trained / "checkpoint_epoch=1.pt", weights_only=True)
    finished = run("train.json", max_epochs=2, val_interval=1, resume=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    after = torch.load(trained / "checkpoint_epoch=2.pt", weights_only=True)
    assert after["trainer"]["epoch_length"] * 2 == after["trainer"]["iteration"]
    steps = [checkpoint["optimizer"]["state"][0]["step"].item() for checkpoint in (before, after)]
    assert steps[1] == 2 * steps[0]
    assert after["best"]["score"] >= before["best"]["score"]
    assert after["early_stop"]["best_score"] == after["best"]["score"]
    first, second = json.loads((trained / "run.json").read_text())["runs"]
    assert [start["epochs"] for start in (first, second)] == [1, 2]
    assert (second["resumed_from_epoch"], second["overrides"]["resume"]) == (1, "True")
    assert all(first[name] == second[name] for name in ("data", "configs_sha256", "seed", "bundle_version"))
    assert [line.split(",")[0] for line in (trained / "progress.csv").read_text().splitlines()] == ["epoch", "1", "2"]


def test_finished_run_is_not_overwritten(trained, run):
    before = (trained / "model.pt").read_bytes()
    refused = run("train.json", max_epochs=1)
    assert refused.returncode != 0
    assert "run_dir: run: already has a run: use --resume True, or another folder" in refused.stderr
    assert (trained / "model.pt").read_bytes() == before


def test_inference_writes_what_predict_writes(trained, run, dataset, folder):
    images = dataset / "imagesTs"
    finished = run("inference.json", dataset_dir=images, output_dir="labels", checkpoint=trained / "model.pt")
    assert finished.returncode == 0, finished.stderr[-3000:]
    predictor = Predictor(BUNDLE, "cpu", trained / "model.pt")
    for path in images.iterdir():
        image, labels = map(nib.Nifti1Image.from_filename, (path, folder / "labels" / path.name))
        assert labels.shape == image.shape
        assert labels.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(labels.affine, image.affine)
        np.testing.assert_array_equal(np.asarray(labels.dataobj), predictor.predict(path)[0].numpy())


def test_evaluation_scores_every_case(trained, run, folder):
    finished = run("inference.json", "evaluate.json", checkpoint=trained / "model.pt", output_dir="scores")
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (folder / "scores" / "summary.json").is_file()
    scored = {line.split(",")[0] for line in (folder / "scores" / "scores.csv").read_text().splitlines()[1:]}
    assert scored == {f"phantom_00{index}" for index in range(4)}


def test_two_processes_train_together(run, folder):
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone")
    finished = run(
        "train.json",
        "multi_gpu_train.json",
        launcher=torchrun,
        run_dir="two",
        max_epochs=1,
        val_interval=1,
        num_workers=0,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (folder / "two" / "model.pt").is_file()
    assert len(list((folder / "two").glob("events*"))) == 1  # by one process
    checkpoint = torch.load(folder / "two" / "checkpoint_epoch=1.pt", weights_only=True)
    assert not any(name.startswith("module.") for name in checkpoint["network"])
    assert checkpoint["trainer"]["epoch_length"] == 2  # three training cases, shared by two processes


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("hippocampus_mri_segmentation", "Task04_Hippocampus"),
        pytest.param("cardiac_cine_mri_segmentation", "cardiac_cine_mri", marks=pytest.mark.slow),
        pytest.param("sarcoma_petct_segmentation", "sarcoma_petct", marks=pytest.mark.slow),
    ],
)
def test_weights_reach_their_published_dice(name, folder, data_dir, tmp_path):
    bundle = bundle_path(name)
    files = str([str(bundle / "configs" / name) for name in ("inference.json", "evaluate.json")])
    options = ["--dataset_dir", str(data_dir / folder), "--output_dir", "scores", "--device", "cpu"]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", files, *options]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr[-3000:]
    published = json.loads((bundle / "configs/metadata.json").read_text())["eval_metrics"]["mean_dice"]
    measured = json.loads((tmp_path / "scores/summary.json").read_text())["overall"]["dice"]["mean"]
    assert measured == pytest.approx(published, abs=0.005)
