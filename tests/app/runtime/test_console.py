"""An error is told in one line that says what matters."""

import subprocess
import sys
import warnings

import pytest

from hybridseg.app.runtime.console import LONGEST_MESSAGE, WARNING_MODULE, one_line, quiet, say
from hybridseg.transforms import VolumeError

WARN_OF_MODALITY = """
import torch
from monai.data import MetaTensor
from hybridseg.transforms.intensity import WarnOfModalityd
image = MetaTensor(torch.full((1, 2, 2, 2), -1000.0), meta={"filename_or_obj": "ct.nii"})
WarnOfModalityd("image", hounsfield=False)({"image": image})
"""


def test_the_cause_is_told_and_not_what_monai_wraps_it_in() -> None:
    error = RuntimeError("applying transform <LoadVolumed>")
    error.__cause__ = VolumeError("a.nii", "3 voxels are NaN", "every voxel must be finite")
    assert one_line(error) == "a.nii: 3 voxels are NaN: every voxel must be finite"


def test_our_own_message_is_not_replaced_by_what_led_to_it() -> None:
    error = ValueError("key: must be known")
    error.__cause__ = KeyError("key")
    assert one_line(error) == "key: must be known"


def test_a_long_message_is_cut() -> None:
    line = one_line(RuntimeError("x" * 5000))
    assert len(line) < LONGEST_MESSAGE + 20
    assert line.endswith("…")


def test_what_a_terminal_would_obey_is_shown_and_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    say("predict", "a\nb\x1b[31m\udcff é.nii: bad")
    assert capsys.readouterr().err == "hybridseg predict: a\\nb\\x1b[31m\\udcff é.nii: bad\n"


def test_a_command_tells_our_own_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet("predict"):
        warnings.warn_explicit(
            "divided by zero", RuntimeWarning, "intensity.py", 1, WARNING_MODULE
        )  # numpy's, as of our line
        warnings.warn_explicit("will be gone", UserWarning, "torch.py", 1, "torch")
        exec(WARN_OF_MODALITY, {})
    told = "hybridseg predict: ct.nii: the lowest voxel is -1000: as low as air in CT, but this pipeline is for MRI\n"
    assert capsys.readouterr().err == told


def test_processes_that_a_command_starts_tell_them_too() -> None:
    with quiet("train"):
        words = [sys.executable, "-c", f"import warnings\nwarnings.warn('theirs')\n{WARN_OF_MODALITY}"]
        told = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=True).stderr
    assert "ct.nii: the lowest voxel is -1000" in told
    assert "theirs" not in told
