"""The command line `hybridseg`: parse it, run the command, and return an exit code.

Nothing here imports torch or MONAI, so `--help` and `--version` answer at once; commands import them when they run.
"""

from __future__ import annotations

import getpass
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from difflib import get_close_matches
from importlib.metadata import version
from inspect import getdoc
from time import monotonic
from typing import Annotated, Any, Union

import tyro

from .commands.catalogue import COMMANDS, load
from .commands.command import Command, ComputingCommand, remove_empty_folders
from .runtime.console import LastingOutput, announce_loading, cause, one_line, progress, quiet, results_only, say
from .runtime.threads import use_threads

DESCRIPTION = "3D segmentation of CT and MRI. `hybridseg COMMAND --help` explains the options of a command."
DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = "exit codes: 0 success, 1 failed, or some cases did, 2 wrong usage, 130 Ctrl-C"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: the words after `hybridseg`; None takes those of this process.

    Returns:
        The exit code: 0 success, 1 failed, or some cases did, 2 wrong usage, 130 interrupted by Ctrl-C.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this process, such as a scheduler
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends
    name_user()
    output: Any = LastingOutput(sys.stdout)
    errors: Any = LastingOutput(sys.stderr)
    with redirect_stdout(output), redirect_stderr(errors):
        code = answer(list(sys.argv[1:] if arguments is None else arguments))
        output.flush()
    return code


def name_user() -> None:
    """Name a user who has only a number, as in a container that runs with `--user`; PyTorch needs a name for caches."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # of Linux, of Python from 3.13, and of Windows
        os.environ["USER"] = f"uid{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def answer(words: Sequence[str]) -> int:
    """Run the command line of `main`, whose streams are open."""
    if words[:1] in (["--version"], ["-V"]):
        print(f"hybridseg {version('hybridseg')}")
        return DONE
    tyro._experimental_options["ansi_codes"] = not os.environ.get("NO_COLOR")  # https://no-color.org
    if error := unknown_command(words):
        say("", error)
        return WRONG_USAGE
    name = command_name(words)
    lacks_command = not words or (name is None and len(words) == 1 and words[0] in groups())
    stream = sys.stderr if lacks_command else sys.stdout  # help that nobody asked for is an error
    try:
        with redirect_stdout(stream):
            command = parse([*words, "--help"] if lacks_command else words)
    except SystemExit as end:  # tyro has printed the help, or an error
        if end.code:
            return int(end.code)
        print(epilogue(name), file=stream)
        return WRONG_USAGE if lacks_command else DONE
    return run(command, name or words[0])


def command_name(words: Sequence[str]) -> str | None:
    """Return the name of the command that a command line begins with, or None."""
    return next((name for name in COMMANDS if list(words[: len(name.split())]) == name.split()), None)


def groups() -> set[str]:
    """Return the first words of commands of two words."""
    return {name.split()[0] for name in COMMANDS if " " in name}


def unknown_command(words: Sequence[str]) -> str | None:
    """Return the error if a command line begins with an unknown command, with the most similar command, if any."""
    if command_name(words) or not words or words[0].startswith("-"):
        return None
    known, given = list(COMMANDS), words[0]
    if words[0] in groups():
        if len(words) == 1 or words[1] in ("-h", "--help"):
            return None
        known, given = [name for name in COMMANDS if name.startswith(f"{words[0]} ")], " ".join(words[:2])
    parts = {name.split()[-1]: name for name in known} if words[0] in groups() else {name: name for name in known}
    similar = [parts[part] for part in get_close_matches(given.split()[-1], parts, n=1)]
    hint = f"did you mean {similar[0]!r}?" if similar else f"must be one of {', '.join(known)}"
    return f"command: {given!r}: {hint}"


def epilogue(name: str | None) -> str:
    """Return what follows the options in the help: examples of a command, and the exit codes."""
    examples = [f"  hybridseg {name} {words}".rstrip() for words in load(name).examples] if name else []
    return "\n".join([*(["examples:", *examples, ""] if examples else []), EXIT_CODES])


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
    group = words[0] if words and words[0] in groups() else ""
    names = [name for name in COMMANDS if name.startswith(group)]
    choices = tuple(Annotated[load(name), _listed(name)] for name in names)
    options = words[1:] if group else words
    return tyro.cli(Union[choices], prog="hybridseg", description=DESCRIPTION, args=options, config=config)  # type: ignore[call-overload]  # noqa: UP007


def run(command: Command, name: str) -> int:
    """Run a command, and report an error as one line and an exit code."""
    try:
        if command.quiet and command.verbose:
            raise ValueError("quiet: must not be given together with verbose")
        threads = command.threads if isinstance(command, ComputingCommand) else None
        with (
            quiet(name, enabled=not command.debug),
            progress(quiet=command.quiet, verbose=command.verbose),
            results_only(enabled=command.json),
            announce_loading(name),
            use_threads(threads),
        ):
            start = monotonic()
            code = command.run()
            if command.verbose:
                say(name, f"took {monotonic() - start:.1f} s")
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
    finally:
        remove_empty_folders()


def _listed(name: str) -> Any:
    summary = (getdoc(load(name)) or "").splitlines()[0]
    return tyro.conf.subcommand(name=name, description=summary)
