"""Commands and options are promises to the people who type them: each new one is a line in commands.txt."""

from __future__ import annotations

from pathlib import Path

from command_lines import all_commands, pinned_lines

PINNED = Path(__file__).with_name("commands.txt")


def test_commands_and_options_are_the_pinned_ones():
    pinned = PINNED.read_text("utf-8").splitlines()
    assert pinned_lines() == pinned, "A decision? Then: python tests/house/command_lines.py > tests/house/commands.txt"


def test_every_command_and_option_says_what_it_is_for():
    silent = [words for words, command in all_commands() if not command.help]
    silent += [
        f"{words} {p.opts[0]}"
        for words, command in all_commands()
        for p in command.params
        if p.name != "help" and not getattr(p, "help", None)
    ]
    assert silent == []
