"""The two commands as data: what they offer, and whether a line of a document or a script is one of theirs.

Regenerate the pinned list after a decision to change it:

    python tests/house/command_lines.py > tests/house/commands.txt
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main
from typer.exceptions import TyperException

_ASSIGNMENT = re.compile(r"^[A-Z][A-Z0-9_]*=")


@cache
def programs() -> dict[str, Any]:
    """The command groups by the name of their program."""
    from paris.coordinator.cli.app import app as coordinator
    from paris.node.cli import app as node

    return {"paris-coord": typer.main.get_command(coordinator), "paris-node": typer.main.get_command(node)}


def all_commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words, as "paris-node identity show"."""
    for program, group in sorted(programs().items()):
        yield from _walk(program, group)


def pinned_lines() -> list[str]:
    """One line a command: its words, arguments, options in alphabetical order; hidden options in brackets."""
    return [" ".join([words, *_arguments(command), *_options(command)]) for words, command in all_commands()]


def why_not_a_command(line: str) -> str | None:
    """Parse a shell line that runs one of the programs.

    Args:
        line: Such as `PARIS_HUB_TOKEN=x paris-node join org/repo --once  # the short way`.

    Returns:
        None where the command line parser takes it, or what it says against it.
    """
    words = shlex.split(line, comments=True)
    while words and (_ASSIGNMENT.match(words[0]) or words[0] == "exec"):
        words.pop(0)
    if not words or words[0] not in programs():
        return f"{line!r} runs neither paris-node nor paris-coord"
    return _refusal(programs()[words[0]], words[0], words[1:])


def lines_in(script: str) -> list[str]:
    """The lines of a shell script that run one of the programs; a trailing backslash joins lines."""
    joined = re.sub(r"\\\n\s*", " ", script)
    stripped = (line.strip().removeprefix("$ ") for line in joined.splitlines())
    return [line for line in stripped if re.match(r"^(exec |([A-Z][A-Z0-9_]*=\S+ )+)?paris-(node|coord)( |$)", line)]


def _refusal(command: Any, name: str, arguments: list[str]) -> str | None:
    if not arguments or "--help" in arguments:
        return None
    if hasattr(command, "commands"):
        arguments = _without_options(command, arguments)
        inner = command.commands.get(arguments[0])
        return (
            f"{name} has no command {arguments[0]}"
            if inner is None
            else _refusal(inner, f"{name} {arguments[0]}", arguments[1:])
        )
    try:
        command.make_context(name, list(arguments))
    except TyperException as error:
        return f"{name}: {error}"
    return None


def _without_options(group: Any, arguments: list[str]) -> list[str]:
    """The command and what follows it, without the options of all commands before it."""
    while len(arguments) > 1 and (option := next((p for p in group.params if arguments[0] in p.opts), None)):
        arguments = arguments[1 if option.is_flag or option.count else 2 :]
    return arguments


def _walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands") or _options(command):
        yield words, command
    if not hasattr(command, "commands"):
        return
    for name, inner in sorted(command.commands.items()):
        yield from _walk(f"{words} {name}", inner)


def _arguments(command: Any) -> list[str]:
    return [
        (p.metavar or p.name.upper()) + ("..." if p.nargs == -1 else "")
        for p in command.params
        if p.param_type_name == "argument"
    ]


def _options(command: Any) -> list[str]:
    options = [p for p in command.params if p.param_type_name == "option"]
    return sorted(f"[{p.opts[0]}]" if p.hidden else p.opts[0] for p in options)


if __name__ == "__main__":
    print("\n".join(pinned_lines()))
