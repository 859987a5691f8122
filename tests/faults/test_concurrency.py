"""Two runs at once in one folder, of which one is killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hybridseg.app.training.run.run_folder import latest_epoch
from hybridseg.transforms.phantoms import write_phantoms

from ..app.commands.test_crossval import dataset, trainable
from ..app.commands.test_predict_existing import record
from ..app.conftest import FAST_PLAN, bundle, hybridseg, label_maps, predict, volume

__all__ = ["bundle", "dataset", "trainable", "volume"]

WAITS_BEFORE_ITS_FIRST_FILE = """
import sys
import nibabel as nib
from hybridseg.app.cli import main

to_stream = nib.Nifti1Image.to_stream

def wait_and_write(image, stream):
    print("held", flush=True)
    sys.stdin.read()
    to_stream(image, stream)

nib.Nifti1Image.to_stream = wait_and_write
sys.exit(main(sys.argv[1:]))
"""
"""A program that runs `hybridseg`, and waits for the end of its standard input before it writes."""


def test_second_prediction_into_a_folder_ends_at_once(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    output, one, two = tmp_path / "out", volume("one"), volume("two")
    words: list[str | Path] = ["predict", one, "-o", output, "--bundle", bundle]
    first = subprocess.Popen(
        [sys.executable, "-c", WAITS_BEFORE_ITS_FIRST_FILE, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        for image in (one, two):
            second = predict(bundle, output, image, "--overwrite", "--overlap", "0.25")
            assert (second.code, second.out) == (2, "")
            holder = rf"in use by process {first.pid} on \S+ \(.*\): must be used by one run at a time\n"
            assert re.fullmatch(rf"hybridseg predict: output: {re.escape(str(output))}: {holder}", second.err)
        out, _ = first.communicate("")
    finally:
        first.kill()
    assert (first.returncode, out) == (0, f"1 of 1 cases written to {output}\n")
    assert label_maps(output) == ["one.nii.gz"]
    assert [case["outcome"] for case in record(output)["cases"]] == ["written"]
    third = predict(bundle, output, two)
    assert (third.code, third.err) == (0, "")


def start(*words: str | Path) -> subprocess.Popen[bytes]:
    """Start `hybridseg`."""
    command = [sys.executable, "-m", "hybridseg.app", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait(process: subprocess.Popen[bytes], begun: Callable[[], bool]) -> psutil.Process:
    """Wait until a process has begun with something; it must not end before."""
    running = psutil.Process(process.pid)
    while process.poll() is None and not begun():
        psutil.wait_procs([running], timeout=0.05)
    assert process.returncode is None
    return running


@pytest.mark.slow
def test_second_plan_ends_at_once_and_a_killed_one_is_repeated(tmp_path: Path) -> None:
    data, planned = write_phantoms(tmp_path / "organs", 4, seed=4), tmp_path / "organs_ct_segmentation"
    words: list[str | Path] = ["plan", data, "-o", planned, *FAST_PLAN, "--jobs", "1"]
    with start(*words) as first:
        try:
            wait(first, (planned / ".hybridseg.lock").exists)
            second = hybridseg(*words, "--seed", "1")
        finally:
            first.kill()
    assert second.code == 2
    assert re.fullmatch(rf"hybridseg plan: output: {re.escape(str(planned))}: in use by process .*\n", second.err)
    assert hybridseg(*words, "--folds", "2").code == 0
    assert len(json.loads((planned / "configs" / "split.json").read_text())["folds"]) == 2


@pytest.mark.slow
def test_second_crossval_ends_at_once(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    words: list[str | Path] = ["crossval", trainable, dataset, "-o", output, "--folds", "2", "--device", "cpu"]
    fold = output / "folds" / trainable.name / "fold_0"
    with start(*words, "--epochs", "500") as first:
        try:
            running = wait(first, lambda: latest_epoch(fold) > 0)
            whole, part = hybridseg(*words, "--epochs", "2"), hybridseg(*words, "--epochs", "2", "--fold", "0")
            trainings = running.children(recursive=True)
        finally:
            first.kill()
    holder = rf"in use by process {first.pid} on \S+ \(.*\): must be used by one run at a time\n"
    for second, folder in ((whole, output), (part, fold)):
        assert second.code == 2
        assert re.fullmatch(rf"hybridseg crossval: output: {re.escape(str(folder))}: {holder}", second.err)
    _, alive = psutil.wait_procs(trainings, timeout=60)
    assert trainings
    assert alive == []
    changed = hybridseg(*words, "--epochs", "2")
    assert "trained with --epochs 500: must be trained with --epochs 2" in changed.err
