"""Two runs at once in one folder."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..app.commands.test_predict_existing import record
from ..app.conftest import bundle, label_maps, predict, volume

__all__ = ["bundle", "volume"]

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
