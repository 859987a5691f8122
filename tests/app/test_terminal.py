"""An error is told in one line that says what matters."""

import pytest

from hybridseg.app.terminal import LONGEST_MESSAGE, one_line, say
from hybridseg.transforms import VolumeError


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
