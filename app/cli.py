"""The command line `hybridseg`: parse it, run the command, and return an exit code.

Nothing here imports torch or MONAI, so `--help` and `--version` answer at once; commands import them when they run.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.metadata import version
from inspect import getdoc
from typing import Annotated, Any, Union

import tyro

from .commands.command import Command, ComputingCommand
from .runtime.console import LastingOutput, cause, one_line, quiet, say
from .runtime.threads import use_threads

COMMANDS: Mapping[str, str] = {
    "demo": "demo:Demo",
    "info": "info:Info",
    "plan": "plan:Plan",
    "train": "train:Train",
    "crossval": "crossval:Crossval",
    "predict": "predict:Predict",
    "evaluate": "evaluate:Evaluate",
    "report": "report:Report",
    "export": "export:Export",
    "pack": "pack:Pack",
    "store": "store:StoreCommand",
    "bench network": "bench_network:BenchNetwork",
    "bench inference": "bench_inference:BenchInference",
    "bench loading": "bench_loading:BenchLoading",
    "bench ablation": "bench_ablation:BenchAblation",
}
"""Module in `commands` and class of each command; a command's name may be two words."""

DESCRIPTION = "3D segmentation of CT and MRI. `hybridseg COMMAND --help` explains the options of a command."
DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: the words after `hybridseg`; None takes those of this process.

    Returns:
        The exit code: 0 success, 1 some cases failed, 2 wrong usage, 130 interrupted by Ctrl-C.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this process, such as a scheduler
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends
    output: Any = LastingOutput(sys.stdout)
    errors: Any = LastingOutput(sys.stderr)
    with redirect_stdout(output), redirect_stderr(errors):
        code = answer(list(sys.argv[1:] if arguments is None else arguments))
        output.flush()
    return code


def answer(words: Sequence[str]) -> int:
    """Run the command line of `main`, whose streams are open."""
    if words[:1] == ["--version"]:
        print(f"hybridseg {version('hybridseg')}")
        return DONE
    try:
        if not words:
            with redirect_stdout(sys.stderr):
                parse(["--help"])
        command = parse(words)
    except SystemExit as end:  # tyro has printed the help, or an error
        return WRONG_USAGE if not words else int(end.code or DONE)
    return run(command, command_name(words) or words[0])


def command_name(words: Sequence[str]) -> str | None:
    """Return the name of the command that a command line begins with, or None."""
    return next((name for name in COMMANDS if list(words[: len(name.split())]) == name.split()), None)


def parse(words: Sequence[str]) -> Command:
    """Parse a command line.

    Returns:
        The command with its options.

    Raises:
        SystemExit: help was printed (code 0), or an error about the options (code 2).
    """
    config = (tyro.conf.FlagCreatePairsOff,)
    if name := command_name(words):
        options = words[len(name.split()) :]
        return tyro.cli(load(name), prog=f"hybridseg {name}", args=options, config=config)
    choices = tuple(Annotated[load(name), _listed(name)] for name in COMMANDS)
    return tyro.cli(Union[choices], prog="hybridseg", description=DESCRIPTION, args=words, config=config)  # type: ignore[call-overload]  # noqa: UP007


def load(name: str) -> Any:
    """Import the class of a command."""
    module, _, attribute = COMMANDS[name].partition(":")
    return getattr(import_module(f"hybridseg.app.commands.{module}"), attribute)


def run(command: Command, name: str) -> int:
    """Run a command, and report an error as one line and an exit code."""
    try:
        threads = command.threads if isinstance(command, ComputingCommand) else None
        with quiet(name, enabled=not command.debug), use_threads(threads):
            code = command.run()
            sys.stdout.flush()
            return code
    except KeyboardInterrupt as interrupt:
        say(name, str(interrupt) or "interrupted")
        return INTERRUPTED
    except Exception as error:
        if command.debug:
            traceback.print_exc()
        say(name, one_line(error))
        return WRONG_USAGE if isinstance(cause(error), ValueError | OSError) else FAILED


def _listed(name: str) -> Any:
    summary = (getdoc(load(name)) or "").splitlines()[0]
    return tyro.conf.subcommand(name=name, description=summary)
