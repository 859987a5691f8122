"""The abdomen bundle trains and scores on a real CT, and takes other labels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hybridseg.bundles import bundle_path
from hybridseg.transforms.phantoms import ORGANS, write_phantoms

BUNDLE = bundle_path("abdomen_ct_segmentation")
TOTAL_SEGMENTATOR = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 7, 52: 8, 63: 9, 64: 10, 7: 11, 8: 12, 9: 13}
"""Labels of the torso's label map, and of this bundle; its slices do not reach the esophagus."""
SMALL = {"network_def::preset": "tiny", "spacing": [4, 4, 4], "patch_size": [40, 40, 24], "device": "cpu"}


def bundle_run(folder: Path, *configs: str, **overrides: object) -> None:
    files = [str(BUNDLE / "configs" / name) for name in configs]
    options = [word for key, value in {**SMALL, **overrides}.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files), *options]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert finished.returncode == 0, finished.stderr[-3000:]


@pytest.fixture
def torso(data_dir: Path, tmp_path: Path) -> Path:
    """Two overlapping halves of a CT as cases in the layout of the Medical Segmentation Decathlon."""
    image = nib.load(data_dir / "torso" / "ct_small.nii.gz")
    labels = nib.load(data_dir / "torso" / "ct_small_labels.nii.gz")
    assert isinstance(image, nib.Nifti1Image)
    assert isinstance(labels, nib.Nifti1Image)
    found = np.asarray(labels.dataobj)
    mapped = np.zeros(found.shape, np.uint8)
    for theirs, ours in TOTAL_SEGMENTATOR.items():
        mapped[found == theirs] = ours
    affine = np.asarray(image.affine)
    folder = tmp_path / "torso"
    for name, slices in (("lower", slice(0, 20)), ("upper", slice(10, 30))):
        moved = affine.copy()
        moved[:3, 3] += affine[:3, 2] * slices.start
        for kind, voxels in (("imagesTr", np.asarray(image.dataobj, np.int16)), ("labelsTr", mapped)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(voxels[..., slices], moved), folder / kind / f"{name}.nii.gz")
    return folder


@pytest.mark.slow
def test_real_ct_is_learnt(torso: Path, tmp_path: Path) -> None:
    steps = {"max_epochs": 150, "val_interval": 50, "patches": 4, "learning_rate": 0.004, "num_workers": 0}
    bundle_run(tmp_path, "train.json", dataset_dir=torso, run_dir="run", **steps)
    weights = {"checkpoint": "run/model.pt", "output_dir": "scores"}
    bundle_run(tmp_path, "inference.json", "evaluate.json", dataset_dir=torso, **weights)
    labels = json.loads((tmp_path / "scores/summary.json").read_text())["labels"]
    assert max(row["dice"]["mean"] or 0 for row in labels) > 0.5  # 150 steps are enough for one organ
    written = nib.load(tmp_path / "scores" / "lower.nii.gz")
    assert isinstance(written, nib.Nifti1Image)
    assert written.shape == (122, 101, 20)


@pytest.mark.slow
def test_other_labels_are_an_option(tmp_path: Path) -> None:
    phantoms = write_phantoms(tmp_path / "phantoms", 3, seed=0)
    names = {"label_names": dict(enumerate(ORGANS.values(), start=1)), "spacing": [5, 5, 5]}
    bundle_run(tmp_path, "train.json", dataset_dir=phantoms, run_dir="run", max_epochs=1, num_workers=0, **names)
    assert (tmp_path / "run" / "model.pt").is_file()
