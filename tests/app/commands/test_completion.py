"""`hybridseg completion` prints scripts that complete commands and options."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hybridseg.app.cli import COMMANDS

from ..conftest import hybridseg

COMPLETE = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hybridseg; echo "${COMPREPLY[@]}"'


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["pre"], ["predict"]),
        (["ben"], ["bench"]),
        (["bench", "net"], ["network"]),
        (["bench", "network", "--thr"], ["--threads"]),
        (["predict", "--lab"], ["--labels"]),
        (["predict", "-o"], ["-o"]),
        (["predict", "scan"], []),  # a file
        (["predict", "a", "--labels", "--fo"], ["--format", "--force-dicom"]),
    ],
)
def test_bash_completes_commands_and_options(tmp_path: Path, words: list[str], completed: list[str]) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    script = tmp_path / "completion.bash"
    script.write_text(hybridseg("completion", "bash").out)
    command = ["bash", "-c", COMPLETE, "bash", str(script), "hybridseg", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(completed)


def test_scripts_of_all_shells_name_every_command() -> None:
    bash, zsh, fish = (hybridseg("completion", shell).out for shell in ("bash", "zsh", "fish"))
    assert zsh.endswith(bash)
    for name in COMMANDS:
        assert f'"{name}") words=' in bash
        assert f"-a {name.split()[-1]} -d " in fish


def test_unknown_shell_is_wrong_usage() -> None:
    assert hybridseg("completion", "cmd").code == 2
