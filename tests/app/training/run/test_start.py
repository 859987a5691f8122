"""A run that MONAI's command line starts with an invalid value ends before its folder is made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hybridseg.app.training import start_run


@pytest.mark.parametrize(
    ("config", "words", "message"),
    [
        ({"batch_size": 0}, [], r"train\.json: batch_size: 0: must be a whole number from 1"),
        ({"batch_size": 1}, ["--batch_size", "0"], "--batch_size: 0: must be a whole number from 1"),
        ({}, ["--train::trainer::max_epochs=-1"], "--train::trainer::max_epochs: -1: must be a whole number from 1"),
        ({}, ["--learning_rate", "nan"], '--learning_rate: "nan": must be a positive, finite number'),
    ],
)
def test_invalid_value_ends_the_run_before_its_folder_is_made(
    config: dict[str, object], words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.json").write_text(json.dumps(config))
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", "--config_file", str(tmp_path / "train.json"), *words])
    with pytest.raises(ValueError, match=re.compile(message)):
        start_run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
