"""The command line for MONAI means what was asked for, whatever a path looks like."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from hybridseg.app.bundling.monai_command import as_word, bundle_run, show_command
from hybridseg.bundles import running_bundle

NAMES = [
    "runs/mine",
    "2024",
    "1e5",
    "left,right",
    "None",
    "it's",
    "a b",
    "[1]",
    "run#3",
    "@data",
    "%data",
    "$data",
    "a@#1",
]


@pytest.mark.parametrize("name", NAMES)
def test_paths_of_any_characters_mean_themselves(name: str) -> None:
    config = ConfigParser({"file": "$@folder + '/a'"})
    config["folder"] = DefaultParseValue(as_word(Path(name)))
    assert config.get_parsed_content("folder") == name
    assert config.get_parsed_content("file") == f"{name}/a"


def test_setting_is_passed_as_it_is() -> None:
    assert bundle_run([Path("train.json")], {"patch_size": "[8, 8, 8]"})[-2:] == ["--patch_size", "[8, 8, 8]"]


@pytest.mark.parametrize("processes", [1, 2])
def test_shown_command_is_the_one_that_runs(processes: int) -> None:
    command = bundle_run([Path("a/x.json"), Path("a/y.json")], {"dataset_dir": Path("my data")}, processes)
    assert shlex.split(show_command(command).replace("\\\n", ""))[1:] == command[1:]


@pytest.mark.parametrize("folder", ["plain", "left,right"])
def test_running_bundle_is_the_one_of_the_command(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = tmp_path / folder / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").touch()
    monkeypatch.setattr("sys.argv", bundle_run([configs / "train.json"], {}))
    assert running_bundle() == str(tmp_path / folder)
