"""A bundle that segments in a second, volumes for it, a cohort to report on, and a way to run commands."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray

from hybridseg.app.cli import main
from hybridseg.bundles import bundle_path
from hybridseg.networks import create_model

from .report_pages import Page

SHAPE = (18, 14, 12)
SPACING = np.diag([2.0, 1.5, 3.0, 1.0])
"""The affine of voxels 2 x 1.5 x 3 mm."""
FAST_PLAN = shlex.split("--preset tiny --spacing 8 8 8 --patch 32 32 32 --memory 400MB --device cpu")
"""Options of `plan` that make the plan and the steps of its training fast."""


@dataclass
class CommandResult:
    """The exit code of a command line, and what it printed: results, messages, and a line for each case done."""

    code: int
    out: str
    err: str
    progress: list[str] = field(default_factory=list)


def hybridseg(*words: str | Path) -> CommandResult:
    """Run the command line `hybridseg` with these words."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    lines = err.getvalue().splitlines(keepends=True)
    progress = [line for line in lines if re.match(r"hybridseg \w+: \d+ of \d+: ", line)]
    return CommandResult(code, out.getvalue(), "".join(line for line in lines if line not in progress), progress)


def predict(bundle: Path, output: Path, *words: str | Path) -> CommandResult:
    """Run `hybridseg predict`."""
    return hybridseg("predict", *words, "-o", output, "--bundle", bundle)


def label_maps(output: Path) -> list[str]:
    """List the files of an output folder, except the record of the run."""
    return sorted(path.name for path in output.iterdir() if path.name != "run.json") if output.exists() else []


def write_volume(path: Path, voxels: NDArray[np.generic] | None = None, affine: ArrayLike | None = None) -> Path:
    """Write a NIfTI file, by default of noise (18, 14, 12) at 1 mm."""
    if voxels is None:
        voxels = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.eye(4) if affine is None else np.asarray(affine)), path)
    return path


def read_volume(path: Path) -> nib.Nifti1Image:
    """Read a NIfTI-1 file."""
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    return image


def voxels_of(path: Path) -> np.ndarray:
    """Read the voxels of a NIfTI file."""
    return np.asarray(read_volume(path).dataobj)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a shipped bundle with a tiny network, small windows and random weights, trained on nothing known."""
    folder = tmp_path_factory.mktemp("bundles") / "random_mri_segmentation"
    shutil.copytree(bundle_path("hippocampus_mri_segmentation"), folder, ignore=shutil.ignore_patterns("models"))
    config_file = folder / "configs" / "inference.json"
    config = json.loads(config_file.read_text())
    config["network_def"]["preset"] = "tiny"
    config["patch_size"] = [16, 16, 16]
    config_file.write_text(json.dumps(config))
    metadata_file = folder / "configs" / "metadata.json"
    metadata = json.loads(metadata_file.read_text())
    del metadata["training_data"]
    metadata_file.write_text(json.dumps(metadata))
    torch.manual_seed(0)
    network = create_model("tiny", in_channels=1, out_channels=1 + len(config["label_names"]))
    (folder / "models").mkdir()
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


@pytest.fixture
def volume(tmp_path: Path) -> Callable[[str], Path]:
    """Writes `images/<name>.nii.gz` of noise."""
    return lambda name: write_volume(tmp_path / "images" / f"{name}.nii.gz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for images."""
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Predictions in `labels`, `good` off by a voxel and `bad` without one of two labels; references and images."""
    truth = np.zeros((16, 16, 16), dtype=np.uint8)
    truth[3:13, 3:13, 3:8] = 1
    truth[3:13, 3:13, 9:13] = 2
    good = np.roll(truth, 1, 2)
    bad = np.where(np.roll(truth, 2, 1) == 1, 1, 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    for case, labels in (("good", good), ("bad", bad)):
        write_volume(tmp_path / "labels" / f"{case}.nii.gz", labels, SPACING)
        write_volume(tmp_path / "truth" / f"{case}.nii.gz", truth, SPACING)
        write_volume(tmp_path / "images" / f"{case}.nii.gz", (50 * truth + noise).astype(np.float32), SPACING)
    return tmp_path


@pytest.fixture
def report(cohort: Path) -> Callable[..., Page]:
    """Writes a report on the cohort, by default with references and images, and reads the page."""

    def write(*words: str | Path, code: int = 0, err: str = "") -> Page:
        options = words or ("--references", cohort / "truth", "--images", cohort / "images")
        result = hybridseg("report", cohort / "labels", "-o", cohort / "page.html", *options)
        assert (result.code, result.out) == (code, f"report written to {cohort / 'page.html'}\n")
        assert err in result.err if err else result.err == ""
        return Page(cohort / "page.html")

    return write
