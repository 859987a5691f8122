"""PET/CT on two grids through every command: plan, train, predict, evaluate, report and MONAI's command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from hybridseg.transforms.phantoms import phantom

from ..conftest import CommandResult, hybridseg, read_volume, voxels_of, write_volume

SPACING = (8.0, 8.0, 8.0)
FAST = ("--device", "cpu", "--preset", "tiny", "--patch", "32", "32", "32")
STEP = np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
"""From the indices of the PET's voxels to those of the CT's."""


def write_case(dataset: Path, name: str, seed: int) -> None:
    """Write a CT, a PET of twice the voxel size within slices, and label 1 on the grid of the CT."""
    scan = phantom(seed, spacing=SPACING, orientation="LPS")
    label = (scan.label == 1).astype(np.uint8)
    uptake = np.where(label == 1, 6.0, np.where(scan.image > -500, 1.0, 0.01)).astype(np.float32)
    write_volume(dataset / "imagesTr" / f"{name}_0000.nii.gz", scan.image, scan.affine)
    write_volume(dataset / "imagesTr" / f"{name}_0001.nii.gz", uptake[::2, ::2], scan.affine @ STEP)
    write_volume(dataset / "labelsTr" / f"{name}.nii.gz", label, scan.affine)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases in nnU-Net layout."""
    folder = tmp_path_factory.mktemp("petct") / "data"
    for seed in range(4):
        write_case(folder, f"case_{seed}", seed)
    listing = {
        "channel_names": {"0": "CT", "1": "FDG"},
        "labels": {"background": 0, "liver": 1},
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(listing))
    return folder


@pytest.fixture(scope="module")
def planned(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planned bundle, with random weights."""
    bundle = tmp_path_factory.mktemp("planned") / "liver_petct_segmentation"
    result = hybridseg("plan", dataset, "-o", bundle, *FAST)
    assert result.code == 0, result.err
    config = ConfigParser(json.loads((bundle / "configs" / "inference.json").read_text()))
    torch.manual_seed(0)
    (bundle / "models").mkdir()
    torch.save(config.get_parsed_content("network_def").state_dict(), bundle / "models" / "model.pt")
    return bundle


def predict(bundle: Path, dataset: Path, output: Path, *words: str | Path) -> CommandResult:
    images = [dataset / "imagesTr" / f"case_0_000{channel}.nii.gz" for channel in (0, 1)]
    return hybridseg("predict", *images, "-o", output, "--bundle", bundle, "--device", "cpu", *words)


def test_plan_treats_each_channel_by_its_name(planned: Path) -> None:
    train, inference, metadata = (
        json.loads((planned / "configs" / f"{name}.json").read_text()) for name in ("train", "inference", "metadata")
    )
    for config in (train, inference):
        assert config["modalities"] == {"CT": "CT", "FDG": "PET"}
        assert list(config["windows"]) == ["CT"]
        assert config["padding"] == [-1.0, 0.0]
        assert config["spacing"] == list(SPACING)
    image = metadata["network_data_format"]["inputs"]["image"]
    assert (image["channel_def"], image["modality"]) == ({"0": "CT", "1": "FDG"}, "CT, PT")
    assert "SUV" in (planned / "docs" / "README.md").read_text()


@pytest.mark.parametrize("grid_of", [0, 1])
def test_label_map_is_on_the_grid_of_the_chosen_channel(
    planned: Path, dataset: Path, tmp_path: Path, grid_of: int
) -> None:
    words = ("--grid-of", str(grid_of), "--statistics", "--preview", "--json")
    result = predict(planned, dataset, tmp_path, *words)
    assert result.code == 0, result.err
    written = read_volume(tmp_path / "case_0.nii.gz")
    channel = read_volume(dataset / "imagesTr" / f"case_0_000{grid_of}.nii.gz")
    assert written.shape == channel.shape
    np.testing.assert_array_equal(written.affine, channel.affine)
    statistics: list[dict[str, Any]] = json.loads((tmp_path / "statistics.json").read_text())["labels"]
    assert [row["channel"] for row in statistics] == [0, 1]
    inside = voxels_of(tmp_path / "case_0.nii.gz") == 1
    assert inside.any()
    assert statistics[grid_of]["mean"] == pytest.approx(np.asarray(channel.dataobj)[inside].mean(), rel=1e-3)
    assert statistics[1 - grid_of]["voxels"] == inside.sum()
    assert (tmp_path / "case_0.png").stat().st_size > 1000
    (tmp_path / "statistics.json").unlink()
    again = predict(planned, dataset, tmp_path, *words)  # of a label map that exists
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "statistics.json").read_text())["labels"] == statistics


def test_label_map_on_another_grid_than_before_is_an_error(planned: Path, dataset: Path, tmp_path: Path) -> None:
    assert predict(planned, dataset, tmp_path).code == 0
    result = predict(planned, dataset, tmp_path, "--grid-of", "1")
    assert result.code == 2
    assert "case_0.nii.gz: made with grid_of 0, not 1" in result.err


def test_exchanged_missing_and_distant_channels_are_errors(planned: Path, dataset: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name in ("exchanged", "distant"):
        write_case(tmp_path / name, name, 0)
    first, second = (tmp_path / "exchanged" / "imagesTr" / f"exchanged_000{index}.nii.gz" for index in (0, 1))
    images.mkdir()
    shutil.copy(first, images / "exchanged_0001.nii.gz")
    shutil.copy(second, images / "exchanged_0000.nii.gz")
    pet = read_volume(tmp_path / "distant" / "imagesTr" / "distant_0001.nii.gz")
    affine = np.array(pet.affine)
    affine[2, 3] += 5000
    shutil.copy(tmp_path / "distant" / "imagesTr" / "distant_0000.nii.gz", images)
    write_volume(images / "distant_0001.nii.gz", np.asarray(pet.dataobj), affine)
    for channel in (0, 1):
        shutil.copy(dataset / "imagesTr" / f"case_1_000{channel}.nii.gz", images)
    result = hybridseg("predict", images, "-o", tmp_path / "out", "--bundle", planned, "--device", "cpu")
    assert result.code == 1
    assert "distant_0001.nii.gz: covers 0% of the volume of" in result.err
    assert "exchanged_0000.nii.gz: the lowest voxel in channel 0, CT is 0.01: CT in HU has fat and air" in result.err
    assert "exchanged_0001.nii.gz: the lowest voxel in channel 1, PET is -10" in result.err
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["case_1.nii.gz"]
    (images / "case_1_0001.nii.gz").unlink()
    missing = hybridseg("predict", images / "case_1_0000.nii.gz", "-o", tmp_path / "out", "--bundle", planned)
    assert missing.code == 2
    assert "case_1_0000.nii.gz: channels 0000: must be 0000 to 0001" in missing.err


def test_grid_of_a_channel_that_does_not_exist_is_an_error(planned: Path, dataset: Path, tmp_path: Path) -> None:
    result = predict(planned, dataset, tmp_path, "--grid-of", "2")
    assert result.code == 2
    assert "grid_of: 2: must be the number of a channel, 0 to 1" in result.err


def test_report_shows_the_channel_on_the_grid_of_the_labels(planned: Path, dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "labels"
    assert predict(planned, dataset, output, "--grid-of", "1").code == 0
    result = hybridseg(
        "report", output, "-o", tmp_path / "page.html", "--images", dataset / "imagesTr", "--bundle", planned
    )
    assert result.code == 0, result.err
    assert "data:image/webp" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_real_petct_goes_through_every_command(data_dir: Path, tmp_path: Path) -> None:
    real, dataset, bundle = data_dir / "sarcoma_petct", tmp_path / "data", tmp_path / "sarcoma_petct_segmentation"
    names = ("STS_002", "STS_025", "STS_032")
    for folder in ("imagesTr", "labelsTr"):
        (dataset / folder).mkdir(parents=True)
        for path in (real / folder).iterdir():
            if path.name.startswith(names):
                (dataset / folder / path.name).symlink_to(path)
    shutil.copyfile(real / "dataset.json", dataset / "dataset.json")
    planned = hybridseg("plan", dataset, "-o", bundle, *FAST, "--spacing", "4", "4", "4")
    assert planned.code == 0, planned.err
    run = tmp_path / "run"
    words = ["hybridseg.app", "train", str(bundle), str(dataset), "--run-dir", str(run), "--epochs", "1"]
    words += ["--device", "cpu", "--set", "num_workers=0"]
    trained = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr[-3000:]
    weights = ("--bundle", bundle, "--checkpoint", run / "model.pt", "--device", "cpu")
    predicted = hybridseg("predict", dataset / "imagesTr", "-o", tmp_path / "labels", *weights)
    assert predicted.code == 0, predicted.err
    scored = hybridseg("evaluate", tmp_path / "labels", dataset / "labelsTr", "-o", tmp_path / "scores")
    assert scored.code == 0, scored.err
    words = ["monai.bundle", "run", "--config_file", str(bundle / "configs" / "inference.json")]
    words += ["--dataset_dir", str(dataset / "imagesTr"), "--output_dir", "by_monai"]
    words += ["--checkpoint", str(run / "model.pt"), "--device", "$torch.device('cpu')"]
    finished = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    for name in names:
        ours, theirs = (voxels_of(tmp_path / folder / f"{name}.nii.gz") for folder in ("labels", "by_monai"))
        np.testing.assert_array_equal(ours, theirs)
