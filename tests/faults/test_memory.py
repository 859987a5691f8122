"""Memory that runs short, and cohorts that are large."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ..app.conftest import bundle, hybridseg, label_maps, predict, write_volume

__all__ = ["bundle"]

LITTLE_MEMORY = """
import resource, sys
import psutil
from hybridseg.app.cli import main

small, large, output, bundle = sys.argv[1:]
words = ["predict", small, "-o", output + "/before", "--bundle", bundle, "--quiet"]
assert main(words) == 0  # now all libraries are loaded, and threads are started
limit = psutil.Process().memory_info().vms + 500_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(["predict", large, small, "-o", output + "/after", "--bundle", bundle, "--quiet"]))
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


ACTIVATIONS = """
import json, psutil, torch
from hybridseg.app.runtime.machine import peak_memory_bytes
from hybridseg.networks import create_model
from hybridseg.networks.inspection import count_activation_bytes

network = create_model("tiny", in_channels=1, out_channels=4).eval()
images = torch.randn(8, 1, 64, 64, 64)
with torch.inference_mode():
    network(images[:1])
    counted = count_activation_bytes(network, tuple(images.shape))
    before = psutil.Process().memory_info().rss
    network(images)
print(json.dumps([counted, peak_memory_bytes(torch.device("cpu")) - before]))
"""
"""A program that prints the memory counted for a batch, and that by which computing it raised the peak."""


@pytest.mark.slow
def test_counted_activations_are_those_of_a_real_batch() -> None:
    done = subprocess.run([sys.executable, "-c", ACTIVATIONS], capture_output=True, text=True, check=True)
    counted, measured = json.loads(done.stdout.splitlines()[-1])
    assert 100e6 < counted < 1.2 * measured  # kernels need more within an operation
    assert measured < 2 * counted


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
    assert line.endswith("GB, the free memory (--max-memory sets another)")
    assert label_maps(tmp_path / "after") == ["small.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_memory_does_not_grow_with_the_cases(tmp_path: Path, command: str) -> None:
    labels = np.zeros((48, 48, 48), np.uint8)  # 0.11 MB, so that one map kept of each case would be 55 MB
    labels[10:20, 10:20, 10:20] = 1
    for folder in ("labels", "truth"):
        write_volume(tmp_path / folder / "case_0.nii.gz", labels)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path, command, "100", "600"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    few, many = (int(line) for line in done.stdout.splitlines() if line.isdecimal())
    assert many - few < 15e6  # 30 kB for each of 500 more cases


def test_limit_on_memory_fails_the_case_and_names_the_option(bundle: Path, tmp_path: Path) -> None:
    large = write_volume(tmp_path / "images" / "large.nii.gz", np.zeros((100, 100, 100), np.int16))
    small = write_volume(tmp_path / "images" / "small.nii.gz")
    result = predict(bundle, tmp_path / "out", large, small, "--max-memory", "10MB")
    assert result.code == 1
    rule = "must be at most 0.01 GB, the limit that is set (--max-memory sets another)"
    start = f"hybridseg predict: {large}: 100 x 100 x 100 voxels need about 0.0"
    assert result.err.startswith(start)
    assert result.err.endswith(f"{rule}\n")
    assert label_maps(tmp_path / "out") == ["small.nii.gz"]


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_limit_on_memory_holds_for_label_maps(tmp_path: Path, command: str) -> None:
    for kind in ("labels", "truth"):
        write_volume(tmp_path / kind / "large.nii.gz", np.ones((100, 100, 100), np.uint8))
        write_volume(tmp_path / kind / "small.nii.gz", np.ones((10, 10, 10), np.uint8))
    options: dict[str, list[str | Path]] = {
        "evaluate": [tmp_path / "labels", tmp_path / "truth", "-o", tmp_path / "scores"],
        "report": [tmp_path / "labels", "--references", tmp_path / "truth", "-o", tmp_path / "page.html"],
    }
    words = [command, *options[command]]
    result = hybridseg(*words, "--max-memory", "4MB")
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert "large.nii.gz: claims voxels that need 5000000 bytes in memory: must be at most 4000000, the limit" in line
    assert "--max-memory" in line
    assert hybridseg(*words, "--max-memory", "many").err == (
        f"hybridseg {command}: max_memory: 'many': must be a size such as 8GB or 500MB\n"
    )
