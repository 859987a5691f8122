"""Help imports nothing heavy, and every error is one line and an exit code."""

from __future__ import annotations

import getpass
import logging
import os
import re
import subprocess
import sys
import warnings
from dataclasses import Field, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from hybridseg.app import cli
from hybridseg.app.commands.command import Command

from .conftest import hybridseg

HEAVY = {"torch", "monai", "ignite", "itk", "SimpleITK", "nibabel", "matplotlib", "scipy"}

OPTION = re.compile(r"^[ │] (?:-\w(?: \S+)?, )?(?:--output(?: \S+)?, )?(--[a-z][a-z-]*)", re.MULTILINE)
ARGUMENT = re.compile(r"^[ │] \[?([A-Z]+)", re.MULTILINE)
"""The beginnings of the lines that explain an option or an argument."""


@dataclass
class Failing(Command):
    """A command that raises an error."""

    error: BaseException

    def run(self) -> int:
        """Raise it."""
        raise self.error


@dataclass
class Noisy(Command):
    """A command whose libraries print warnings."""

    def run(self) -> int:
        """Warn, here and in a child process."""
        warnings.warn("a warning", DeprecationWarning, stacklevel=1)
        logging.getLogger("library").warning("a log message")
        subprocess.run([sys.executable, "-c", "import warnings; warnings.warn('from a child')"], check=True)
        return 0


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["-V"],
        ["info"],
        ["info", "--json"],
        ["info", "--path", "phantom_ct_segmentation"],
        ["bench", "--help"],
        ["completion", "bash"],
        *([*c.split(), "--help"] for c in cli.COMMANDS),
    ],
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys; from hybridseg.app.cli import main; code = main(sys.argv[1:])\n"
        f"sys.exit(' '.join({HEAVY} & set(sys.modules)) or code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("predict no.nii -o out --bundle phantom_ct_segmentation", "no.nii: does not exist"),
        ("predict -o out --bundle phantom_ct_segmentation", "INPUT: none: at least one file or folder is needed"),
        ("predict . -o out --bundle liver", "bundle: 'liver': must be the name"),
        ("evaluate no no", "no: does not exist"),
        ("report no -o report.html", "no: does not exist"),
        ("plan no -o bundle", "no: not a folder"),
        ("train phantom_ct_segmentation no", "no: not a folder"),
        ("crossval phantom_ct_segmentation no -o out", "no: not a folder"),
        ("export phantom_ct_segmentation -o network.h5", "output: network.h5: must end in .onnx"),
        ("pack phantom_ct_segmentation -o bundle.tar", "output: bundle.tar: must end in .zip"),
        ("store no", "store: no: not a folder"),
        ("predit no", "command: 'predit': did you mean 'predict'?"),
        ("bench netwrk", "command: 'bench netwrk': did you mean 'bench network'?"),
        ("bench foo", "command: 'bench foo': must be one of bench network, bench inference"),
        ("segment no", "command: 'segment': must be one of demo, info"),
        ("info --quiet --verbose", "quiet: must not be given together with verbose"),
    ],
)
def test_wrong_usage_imports_nothing_heavy(command: str, message: str, tmp_path: Path) -> None:
    program = (
        "import sys; from hybridseg.app.cli import main; code = main(sys.argv[1:])\n"
        f"sys.exit(' '.join({HEAVY} & set(sys.modules)) or code)"
    )
    words = [sys.executable, "-c", program, *command.split()]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert message in done.stderr


def test_group_without_a_command_lists_its_commands() -> None:
    result = hybridseg("bench")
    assert (result.code, result.out) == (2, "")
    for name in cli.COMMANDS:
        assert (f"• {name} " in result.err) == name.startswith("bench ")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_ends_with_examples_and_exit_codes(name: str) -> None:
    examples, codes = hybridseg(*name.split(), "--help").out.split("\nexamples:\n")[1].split("\n\n")
    assert len(examples.splitlines()) == 2
    assert all(line.startswith(f"  hybridseg {name}") for line in examples.splitlines())
    assert codes == f"{cli.EXIT_CODES}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_examples_in_the_help_are_valid_command_lines(name: str) -> None:
    for example in cli.load(name).examples:
        words = example.partition(" > ")[0].partition(" | ")[0].split()
        assert isinstance(cli.parse([*name.split(), *words]), Command)


def in_a_terminal(*words: str, **environment: str) -> str:
    """Run Python in a terminal of 80 columns, and return what it shows."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment}
    process = subprocess.Popen([sys.executable, *words], stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    finally:
        os.close(ours)
        process.wait()
    return shown.decode()


def test_colours_are_left_out_where_no_color_is_set() -> None:
    words = ("-m", "hybridseg.app", "store", "--help")
    assert "\x1b[" in in_a_terminal(*words, NO_COLOR="")
    assert "\x1b[" not in in_a_terminal(*words, NO_COLOR="1")


def test_module_runs_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridseg.app", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"hybridseg {version('hybridseg')}\n")


def test_help_names_every_command() -> None:
    result = hybridseg("--help")
    assert result.code == 0
    for name in cli.COMMANDS:
        assert f"• {name} " in result.out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_explains_every_option(name: str) -> None:
    result = hybridseg(*name.split(), "--help")
    assert result.code == 0
    arguments = [field.name.upper() for field in fields(cli.load(name)) if is_positional(field)]
    options = {f"--{field.name.replace('_', '-')}" for field in fields(cli.load(name)) if not is_positional(field)}
    assert set(OPTION.findall(result.out)) == options | {"--help"}
    for argument, shown in zip(arguments, ARGUMENT.findall(result.out), strict=True):
        assert argument.removesuffix("S") == shown.removesuffix("S")


def is_positional(field: Field[Any]) -> bool:
    """Return whether a field is an argument rather than an option."""
    return "conf.Positional" in str(field.type)


def test_without_a_command_help_goes_to_standard_error() -> None:
    result = hybridseg()
    assert result.code == 2
    assert result.out == ""
    assert "usage: hybridseg" in result.err


@pytest.mark.parametrize("words", [["segment"], ["predict", "a", "-o", "b", "--bundel", "c"], ["predict", "--bundle"]])
def test_mistyped_command_line_is_wrong_usage(words: list[str]) -> None:
    result = hybridseg(*words)
    assert result.code == 2
    assert result.out == ""
    assert "hybridseg" in result.err
    assert "Traceback" not in result.err


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
def test_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(Failing(error), "predict") == code
    assert capsys.readouterr().err == f"hybridseg predict: {line}\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(Failing(ValueError("spacing"), debug=True), "predict") == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("hybridseg predict: spacing\n")


def test_libraries_are_silent_while_a_command_runs(capfd: pytest.CaptureFixture[str]) -> None:
    before: tuple[Any, ...] = (dict(os.environ), logging.root.manager.disable, list(warnings.filters))
    assert cli.run(Noisy(), "predict") == 0
    assert capfd.readouterr() == ("", "")
    assert before == (dict(os.environ), logging.root.manager.disable, list(warnings.filters))


def test_debug_shows_warnings_of_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(DeprecationWarning, match="a warning"):
        assert cli.run(Noisy(debug=True), "predict") == 0
    assert "from a child" in capfd.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["evaluate", "labels", "truth", "-o", "scores"]])
def test_work_goes_on_when_the_reader_closes_the_pipe(cohort: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-u", "-m", "hybridseg.app", *words]  # unbuffered: the first line finds no reader
    try:
        done = subprocess.run(command, stdout=writer, stderr=writer, cwd=cohort, check=False)
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert (cohort / "scores" / "summary.json").is_file() == (words != ["--help"])


def test_closed_output_is_no_error(tmp_path: Path) -> None:
    program = "import sys; from hybridseg.app.cli import main; sys.exit(main(['store', '.']))"
    closed = ["bash", "-c", 'exec "$@" >&- 2>&-', "bash", sys.executable, "-c", program]
    assert subprocess.run(closed, cwd=tmp_path, check=False, timeout=120).returncode == 0


def test_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # in no list of users
    assert hybridseg("--version").code == 0
    assert getpass.getuser() == f"uid{2**31 - 7}"
