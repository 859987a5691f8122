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
