"""Settings are split into key and value, and set only keys that a config has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hybridseg.app.bundling.overrides import check_key, keys, read_settings

CONFIG = {"max_epochs": 1, "validate": {"inferer": {"overlap": 0.5}}}


def test_keys_are_those_that_monai_finds() -> None:
    config = {"a": {"b": [1, {"c": 2}]}, "d": None}
    assert list(keys(config)) == ["a", "a::b", "a::b::0", "a::b::1", "a::b::1::c", "d"]


def test_value_may_contain_an_equals_sign() -> None:
    assert read_settings(["split=$dict(a=1)"]) == {"split": "$dict(a=1)"}


@pytest.mark.parametrize(("value", "read"), [("null", "None"), ("false", "False")])
def test_words_of_json_are_set_and_not_ignored(value: str, read: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"split_file": "list.json", "run": ["$print(repr(@split_file))"]}')
    (setting,) = read_settings([f"split_file={value}"]).values()
    words = ["-m", "monai.bundle", "run", "--config_file", str(config), "--split_file", setting]
    done = subprocess.run([sys.executable, "-W", "ignore", *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == read


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["max_epochs"], "set: 'max_epochs': must be key=value"),
        (["=1"], "set: '=1': must be key=value"),
        (["a#b=1", "a::b=2"], "set: 'a::b': must be set once"),
    ],
)
def test_malformed_settings_are_errors(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_settings(words)


@pytest.mark.parametrize(
    ("key", "hint"),
    [("max_epoch", "; similar: max_epochs"), ("overlap", "; similar: validate::inferer::overlap"), ("zzz", "")],
)
def test_unknown_key_is_an_error_that_names_similar_keys(key: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"^epochs: '{key}': must be a key of train\.json{hint}$"):
        check_key(key, "epochs", CONFIG, Path("train.json"))


def test_known_key_passes() -> None:
    check_key("validate::inferer::overlap", "set", CONFIG, Path("train.json"))
