"""The command `hybridseg`: finds the command that is asked for, runs it, and turns its end into an exit code.

Nothing here imports torch or MONAI, so that `--help` and `--version` answer at once; the commands do when they run.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import version
from inspect import getdoc
from typing import Annotated, Any, Union

import tyro

from .commands.command import Command
from .runtime.console import cause, one_line, quiet, say

COMMANDS: Mapping[str, str] = {
    "demo": "demo:Demo",
    "info": "info:Info",
    "plan": "plan:Plan",
    "train": "train:Train",
    "predict": "predict:Predict",
    "evaluate": "evaluate:Evaluate",
    "report": "report:Report",
    "export": "export:Export",
    "pack": "pack:Pack",
    "bench network": "bench_network:BenchNetwork",
    "bench inference": "bench_inference:BenchInference",
    "bench ablation": "bench_ablation:BenchAblation",
}
"""Each command's module in this package, and its class; a command's name may be two words."""

DESCRIPTION = "3D segmentation of CT and MRI. `hybridseg COMMAND --help` explains a command."
DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: what follows `hybridseg` on the command line; None takes this process's own.

    Returns:
        The exit code: 0 done, 1 some cases failed, 2 wrong usage, 130 interrupted by Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--version"]:
        print(f"hybridseg {version('hybridseg')}")
        return DONE
    try:
        if not given:
            with redirect_stdout(sys.stderr):
                parse(["--help"])
        command = parse(given)
    except SystemExit as told:  # tyro has printed the help, or what is wrong
        return WRONG_USAGE if not given else int(told.code or DONE)
    return run(command, asked_for(given) or given[0])


def asked_for(given: Sequence[str]) -> str | None:
    """The name of the command with which a command line begins."""
    return next((name for name in COMMANDS if list(given[: len(name.split())]) == name.split()), None)


def parse(given: Sequence[str]) -> Command:
    """The command that a command line asks for.

    Raises:
        SystemExit: after help was printed (code 0), or an error about the options (code 2).
    """
    config = (tyro.conf.FlagCreatePairsOff,)
    if name := asked_for(given):
        words = given[len(name.split()) :]
        return tyro.cli(load(name), prog=f"hybridseg {name}", args=words, config=config)
    choices = tuple(Annotated[load(name), _listed(name)] for name in COMMANDS)
    return tyro.cli(Union[choices], prog="hybridseg", description=DESCRIPTION, args=given, config=config)  # type: ignore[call-overload]  # noqa: UP007


def load(name: str) -> Any:
    """The class of a command."""
    module, _, attribute = COMMANDS[name].partition(":")
    return getattr(import_module(f"hybridseg.app.commands.{module}"), attribute)


def run(command: Command, name: str) -> int:
    """Run a command; an error becomes one line and an exit code."""
    try:
        with quiet(name, enabled=not command.debug):
            code = command.run()
            sys.stdout.flush()
            return code
    except KeyboardInterrupt as stop:
        say(name, str(stop) or "interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # who reads our output has had enough; Python would complain once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if command.debug:
            traceback.print_exc()
        say(name, one_line(error))
        return WRONG_USAGE if isinstance(cause(error), ValueError | OSError) else FAILED


def _listed(name: str) -> Any:
    summary = (getdoc(load(name)) or "").splitlines()[0]
    return tyro.conf.subcommand(name=name, description=summary)
