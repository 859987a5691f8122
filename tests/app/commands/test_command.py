"""Options that several commands have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from hybridseg.app.commands import command
from hybridseg.transforms import precision

from ..conftest import predict


def test_precisions_are_those_of_the_networks() -> None:
    assert get_args(command.PrecisionName) == get_args(precision.PrecisionName)


def test_number_of_threads_is_recorded(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    assert predict(bundle, tmp_path / "out", volume("one"), "--threads", "3").code == 0
    (run,) = json.loads((tmp_path / "out" / "run.json").read_text())["runs"].values()
    assert run["threads"] == 3


def test_error_leaves_no_empty_folder(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    other = tmp_path / "other.pt"
    other.write_text("no weights")
    assert predict(bundle, tmp_path / "new" / "out", volume("one"), "--checkpoint", str(other)).code == 2
    assert not (tmp_path / "new").exists()


def test_folder_that_was_there_stays_after_an_error(
    bundle: Path, tmp_path: Path, volume: Callable[[str], Path]
) -> None:
    other, output = tmp_path / "other.pt", tmp_path / "out"
    other.write_text("no weights")
    output.mkdir()
    assert predict(bundle, output, volume("one"), "--checkpoint", str(other)).code == 2
    assert output.is_dir()
