"""An error is one line that says what matters."""

import subprocess
import sys
import warnings

import pytest

from hybridseg.app.runtime.console import (
    LONGEST_MESSAGE,
    WARNING_MODULE,
    align,
    hides_bars,
    one_line,
    print_result,
    progress,
    quiet,
    results_only,
    say,
    say_done,
)
from hybridseg.transforms import VolumeError

WARN_OF_MODALITY = """
import torch
from monai.data import MetaTensor
from hybridseg.transforms.modalities import CheckModalitiesd
image = MetaTensor(torch.full((1, 2, 2, 2), -1000.0), meta={"filename_or_obj": "ct.nii"})
CheckModalitiesd("image", modalities=["MRI"])({"image": image})
"""


def test_cause_is_shown_instead_of_monais_wrapper() -> None:
    error = RuntimeError("applying transform <LoadVolumed>")
    error.__cause__ = VolumeError("a.nii", "3 voxels are NaN", "every voxel must be finite")
    assert one_line(error) == "a.nii: 3 voxels are NaN: every voxel must be finite"


@pytest.mark.parametrize(("quieter", "verbose"), [(False, False), (True, False), (False, True)])
def test_lines_of_progress_off_a_terminal_unless_quiet(
    quieter: bool, verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(quiet=quieter, verbose=verbose):
        say_done("predict", "1 of 2: a")
        say("predict", "a warning")
        assert hides_bars() is (True if quieter else None)
    shown = capsys.readouterr().err.splitlines()
    assert shown == [*([] if quieter else ["hybridseg predict: 1 of 2: a"]), "hybridseg predict: a warning"]


def test_only_results_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with results_only():
        print("progress")
        print_result("{}")
    print("after")
    assert capsys.readouterr() == ("{}\nafter\n", "progress\n")


def test_own_message_is_not_replaced_by_its_cause() -> None:
    error = ValueError("key: must be known")
    error.__cause__ = KeyError("key")
    assert one_line(error) == "key: must be known"


def test_long_message_is_cut() -> None:
    line = one_line(RuntimeError("x" * 5000))
    assert len(line) < LONGEST_MESSAGE + 20
    assert line.endswith("…")


def test_control_characters_are_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say("predict", "a\nb\x1b[31m\udcff é.nii: bad")
    assert capsys.readouterr().err == "hybridseg predict: a\\nb\\x1b[31m\\udcff é.nii: bad\n"


def test_only_own_warnings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet("predict"):
        warnings.warn_explicit(
            "divided by zero", RuntimeWarning, "errors.py", 1, WARNING_MODULE
        )  # numpy's, attributed to our line
        warnings.warn_explicit("will be removed", UserWarning, "torch.py", 1, "torch")
        exec(WARN_OF_MODALITY, {})
    line = "hybridseg predict: ct.nii: the lowest voxel is -1000: as low as air in CT, but this pipeline is for MRI\n"
    assert capsys.readouterr().err == line


def test_child_processes_show_own_warnings_too() -> None:
    with quiet("train"):
        words = [sys.executable, "-c", f"import warnings\nwarnings.warn('theirs')\n{WARN_OF_MODALITY}"]
        shown = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=True).stderr
    assert "ct.nii: the lowest voxel is -1000" in shown
    assert "theirs" not in shown


def test_align_pads_columns() -> None:
    assert align([["name", "n"], ["a", "100"]]) == ["name    n", "a     100"]
