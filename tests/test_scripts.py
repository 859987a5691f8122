"""The check of a GPU measures everything on a machine that has one, and says so on one that has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "scripts" / "gpu_check.sh"


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script with this Python."""
    variables = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run([SCRIPT], env=variables, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_gpu_check_without_a_gpu_measures_nothing() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "gpu_check: device: cuda: PyTorch finds no CUDA GPU: nothing was measured\n"


@pytest.mark.slow
def test_gpu_check_runs_on_a_cpu() -> None:
    small = {"SIZE": "32 32 32", "GRID": "48 48 24", "SPACING": "8", "NETWORKS": "tiny DynUNet", "WORKERS": "0"}
    done = run(DEVICE="cpu", TORCHDYNAMO_DISABLE="1", **small)  # compiling takes minutes
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DynUNet" in done.stdout
    assert "epoch    3/3" in done.stdout
    assert '"outcome": "written"' in done.stdout


@pytest.mark.parametrize(("failing", "code"), [("train", 1), ("nothing", 0)])
def test_gpu_check_fails_where_the_training_fails(tmp_path: Path, failing: str, code: int) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\ncase "$*" in *" {failing} "*) exit 2 ;; esac\n')
    program.chmod(0o755)
    done = run(DEVICE="cpu", PYTHON=str(program))
    assert done.returncode == code, done.stderr
    assert "== done" in done.stdout  # the other parts are measured
