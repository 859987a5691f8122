"""Every command answers fast, and every error ends in one line and the right exit code."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any

import pytest

from hybridseg.app import cli
from hybridseg.app.commands.command import Command

from .conftest import hybridseg

HEAVY = {"torch", "monai", "ignite", "itk", "SimpleITK", "nibabel", "matplotlib", "scipy"}


@dataclass
class Failing(Command):
    """A command that fails as it is told."""

    error: BaseException

    def run(self) -> int:
        """Fail."""
        raise self.error


@dataclass
class Noisy(Command):
    """A command whose libraries talk too much."""

    def run(self) -> int:
        """Talk, here and in another process."""
        warnings.warn("a warning", DeprecationWarning, stacklevel=1)
        logging.getLogger("library").warning("a log message")
        subprocess.run([sys.executable, "-c", "import warnings; warnings.warn('from a child')"], check=True)
        return 0


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["info", "--path", "phantom_ct_segmentation"],
        *([*c.split(), "--help"] for c in cli.COMMANDS),
    ],
)
def test_what_computes_nothing_imports_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys; from hybridseg.app.cli import main; code = main(sys.argv[1:])\n"
        f"sys.exit(' '.join({HEAVY} & set(sys.modules)) or code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridseg.app", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"hybridseg {version('hybridseg')}\n")


def test_help_names_every_command() -> None:
    outcome = hybridseg("--help")
    assert outcome.code == 0
    for name in cli.COMMANDS:
        assert f"• {name} " in outcome.out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_explains_every_option(name: str) -> None:
    outcome = hybridseg(*name.split(), "--help")
    assert outcome.code == 0
    for field in fields(cli.load(name)):
        shown = f"--{field.name.replace('_', '-')}"
        assert shown in outcome.out or field.name.upper() in outcome.out or field.name[:-1].upper() in outcome.out
    assert "--debug" in outcome.out


def test_without_a_command_help_goes_to_standard_error() -> None:
    outcome = hybridseg()
    assert outcome.code == 2
    assert outcome.out == ""
    assert "usage: hybridseg" in outcome.err


@pytest.mark.parametrize("words", [["segment"], ["predict", "a", "-o", "b", "--bundel", "c"], ["predict", "--bundle"]])
def test_a_mistyped_command_line_is_wrong_usage(words: list[str]) -> None:
    outcome = hybridseg(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "hybridseg" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("spacing: 0: must be above 0"), 2, "spacing: 0: must be above 0"),
        (ValueError("one\n  two"), 2, "one two"),
        (FileNotFoundError(2, "No such file", "there"), 2, "there: No such file"),
        (ZeroDivisionError("by nothing"), 1, "ZeroDivisionError: by nothing"),
        (MemoryError(), 1, "MemoryError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(Failing(error), "predict") == code
    assert capsys.readouterr().err == f"hybridseg predict: {line}\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(Failing(ValueError("spacing"), debug=True), "predict") == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("hybridseg predict: spacing\n")


def test_libraries_are_silent_in_every_process_and_only_while_a_command_runs(capfd: pytest.CaptureFixture[str]) -> None:
    before: tuple[Any, ...] = (dict(os.environ), logging.root.manager.disable, list(warnings.filters))
    assert cli.run(Noisy(), "predict") == 0
    assert capfd.readouterr() == ("", "")
    assert before == (dict(os.environ), logging.root.manager.disable, list(warnings.filters))


def test_debug_lets_libraries_speak(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(DeprecationWarning, match="a warning"):
        assert cli.run(Noisy(debug=True), "predict") == 0
    assert "from a child" in capfd.readouterr().err


def test_a_reader_may_close_the_pipe() -> None:
    command = f"{sys.executable} -m hybridseg.app info --path phantom_ct_segmentation | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout in ("0\n", "1\n")
