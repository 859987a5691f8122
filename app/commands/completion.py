"""`hybridseg completion`: a script that makes a shell complete commands and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from inspect import getdoc
from typing import Annotated, Any, Literal

import tyro

from .command import Command

Shell = Literal["bash", "zsh", "fish"]

BASH = """\
_hybridseg() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{first}"
    elif [ "$COMP_CWORD" -eq 2 ] && [ "$command" = bench ]; then
        words="{bench}"
    elif [ "${{word#-}}" != "$word" ]; then
        [ "$command" = bench ] && command="bench ${{COMP_WORDS[2]}}"
        case $command in
{options}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _hybridseg hybridseg
"""
"""Files are completed where no word fits."""


@dataclass
class Completion(Command):
    """Print a script that makes your shell complete commands and options with the Tab key.

    Where it goes:
    - bash: hybridseg completion bash > ~/.local/share/bash-completion/completions/hybridseg
    - zsh: add the line `source <(hybridseg completion zsh)` to ~/.zshrc
    - fish: hybridseg completion fish > ~/.config/fish/completions/hybridseg.fish
    """

    examples = ("bash > ~/.local/share/bash-completion/completions/hybridseg", "fish | source")

    shell: tyro.conf.Positional[Annotated[Shell, tyro.conf.arg(metavar="SHELL")]]
    """bash, zsh or fish."""

    def run(self) -> int:
        """Print the script.

        Returns:
            0.
        """
        from .catalogue import COMMANDS, load

        commands = {name: load(name) for name in COMMANDS}
        if self.shell == "fish":
            script = fish_script(commands)
        else:
            prefix = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n" if self.shell == "zsh" else ""
            script = prefix + bash_script(commands)
        self.show({"shell": self.shell, "script": script}, script)
        return 0


def options_of(command: type[Command]) -> list[str]:
    """Return the options of a command, without its arguments."""
    named = [field for field in fields(command) if "conf.Positional" not in str(field.type)]
    others = [alias for alias in ("-o", "--output") for field in named if repr(alias) in str(field.type)]
    return [*others, *(f"--{field.name.replace('_', '-')}" for field in named), "--help"]


def bash_script(commands: Mapping[str, Any]) -> str:
    """Return the script for bash, which zsh runs too."""
    first = dict.fromkeys(name.split()[0] for name in commands)
    bench = [name.split()[1] for name in commands if " " in name]
    options = [
        f'            "{name}") words="{" ".join(options_of(command))}" ;;' for name, command in commands.items()
    ]
    return BASH.format(first=" ".join(first), bench=" ".join(bench), options="\n".join(options))


def fish_script(commands: Mapping[str, Any]) -> str:
    """Return the script for fish, which shows what each command does."""
    lines: list[str] = []
    for name, command in commands.items():
        first, _, second = name.partition(" ")
        summary = (getdoc(command) or "").splitlines()[0].replace("\\", "\\\\").replace("'", "\\'")
        condition = f"__fish_seen_subcommand_from {second or first}"
        if second:
            place = f"__fish_seen_subcommand_from {first}; and not {condition}"
            condition = f"__fish_seen_subcommand_from {first}; and {condition}"
            if not any(line.endswith(f"-a {first}") for line in lines):
                lines.append(f"complete -c hybridseg -n __fish_use_subcommand -f -a {first}")
        else:
            place = "__fish_use_subcommand"
        lines.append(f"complete -c hybridseg -n '{place}' -f -a {second or first} -d '{summary}'")
        for option in options_of(command):
            kind, word = ("l", option[2:]) if option.startswith("--") else ("o", option[1:])
            lines.append(f"complete -c hybridseg -n '{condition}' -{'s' if kind == 'o' else kind} {word}")
    return "\n".join(lines)
