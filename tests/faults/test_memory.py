"""Memory that runs short, and cohorts that are large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ..app.conftest import bundle, label_maps, write_volume

__all__ = ["bundle"]

LITTLE_MEMORY = """
import resource, sys
import psutil
from hybridseg.app.cli import main

small, large, output, bundle = sys.argv[1:]
words = ["predict", small, "-o", output + "/before", "--bundle", bundle]
assert main(words) == 0  # now all libraries are loaded, and threads are started
limit = psutil.Process().memory_info().vms + 500_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(["predict", large, small, "-o", output + "/after", "--bundle", bundle]))
"""
"""A program that runs `hybridseg predict` with half a gigabyte of address space left."""

PEAK = """
import json, shutil, sys
from pathlib import Path
import torch
from hybridseg.app.cli import main
from hybridseg.app.runtime.machine import peak_memory_bytes

folder, command, few, many = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for cases in (few, many):
    for kind in ("labels", "truth"):
        for number in range(cases):
            target = folder / kind / f"case_{number}.nii.gz"
            if not target.exists():
                shutil.copy(folder / "labels" / "case_0.nii.gz", target)
    words = {
        "evaluate": ["evaluate", folder / "labels", folder / "truth", "-o", folder / "scores"],
        "report": ["report", folder / "labels", "--references", folder / "truth", "-o", folder / "page.html"],
    }[command]
    assert main([str(word) for word in words]) == 0
    print(json.dumps(peak_memory_bytes(torch.device("cpu"))))
"""
"""A program that runs a command over few and then over many cases, and prints its peak memory after each."""


def test_case_that_does_not_fit_fails_and_the_process_lives(bundle: Path, tmp_path: Path) -> None:
    small = write_volume(tmp_path / "small.nii.gz")
    large = write_volume(tmp_path / "large.nii.gz", np.zeros((400, 400, 300), np.int16))
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, small, large, tmp_path, bundle],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"hybridseg predict: {large}: 400 x 400 x 300 voxels need about 0.")
    assert line.endswith("GB that are free")
    assert label_maps(tmp_path / "after") == ["small.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_memory_does_not_grow_with_the_cases(tmp_path: Path, command: str) -> None:
    labels = np.zeros((48, 48, 48), np.uint8)  # 0.11 MB, so that one map kept of each case would be 110 MB
    labels[10:20, 10:20, 10:20] = 1
    for folder in ("labels", "truth"):
        write_volume(tmp_path / folder / "case_0.nii.gz", labels)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path, command, "100", "1100"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    few, many = (int(line) for line in done.stdout.splitlines() if line.isdecimal())
    assert many - few < 30e6  # 30 kB for each of 1000 more cases
