"""The brain tumour bundle, which ships no weights, learns overlapping regions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hybridseg.bundles import bundle_path
from hybridseg.transforms.phantoms import write_heads

BUNDLE = bundle_path("brain_tumour_mri_segmentation")
SMALL = {"network_def::preset": "tiny", "spacing": [3, 3, 3], "patch_size": [48, 48, 48], "device": "cpu"}
"""Overrides that make the bundle small enough for phantoms, in training and inference."""


def run(folder: Path, *configs: str, **options: object) -> None:
    """Run `python -m monai.bundle run` in a folder."""
    files = str([str(BUNDLE / "configs" / name) for name in configs])
    words = [word for key, value in (SMALL | options).items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", files, *words]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=800, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]


@pytest.mark.slow
def test_regions_of_unseen_phantoms_are_segmented(tmp_path: Path) -> None:
    heads = write_heads(tmp_path / "heads", 12, seed=2, test_count=2)
    training = {"max_epochs": 24, "val_interval": 12, "learning_rate": 0.004, "num_workers": 0}
    run(tmp_path, "train.json", dataset_dir=heads, run_dir="run", **training)
    unseen = tmp_path / "unseen"
    unseen.mkdir()
    (heads / "imagesTs").rename(unseen / "imagesTr")
    (heads / "labelsTs").rename(unseen / "labelsTr")
    run(
        tmp_path,
        "inference.json",
        "evaluate.json",
        dataset_dir=unseen,
        checkpoint="run/model.pt",
        output_dir="scores",
    )
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["cases"] == 2
    dice = {region["name"]: region["dice"]["mean"] for region in summary["labels"]}
    assert dice["whole tumour"] > 0.6
    assert dice["tumour core"] > 0.3
    for path in (tmp_path / "scores").glob("*.nii.gz"):
        image = nib.Nifti1Image.from_filename(unseen / "imagesTr" / path.name)
        labels = nib.Nifti1Image.from_filename(path)
        assert labels.shape == image.shape[:3]
        assert labels.get_data_dtype() == np.uint8
        assert set(np.unique(np.asarray(labels.dataobj))) <= {0, 1, 2, 3}
