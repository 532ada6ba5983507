"""With --json, an error of either program is one JSON object on stdout, of the same form for every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_lines import all_commands

from paris.coordinator.cli.app import app as coordinator
from paris.coordinator.console import fail_clearly
from paris.node.cli import app as node

ERRORS = Path(__file__).parents[2] / "docs" / "errors"
CANNOT_FAIL = {"paris-coord recipes"}
"""It reads what is installed alone."""
IMPORT_TORCH = {"paris-coord distill"}
AFTER_RUN = {
    **{f"paris-coord {name}": ["ada"] for name in ("allow", "ban")},
    **{f"paris-coord {name}": ["expert-0"] for name in ("recheck", "revoke", "unregister")},
    "paris-coord roll-back": ["expert-0", "--to", "0"],
    "paris-coord withdraw-invite": ["5e" * 16],
}
"""Arguments after a RUN that is not there."""
COMMANDS = [
    words
    for words, command in all_commands()
    if words not in CANNOT_FAIL and any("--json" in option.opts for option in command.params)
]


def failing(words: str, folder: Path) -> list[str]:
    """Arguments with which a command ends with an error, before it imports what takes long."""
    nothing, name = str(folder / "nothing"), words.partition(" ")[2].split()
    if words.startswith("paris-node"):
        given = {"join": ["nowhere"], "backup": [nothing], "restore": [nothing]}.get(name[-1], [])
        return [*name, *given, "--home", "~nobody-of-this-name/home", "--json"]
    given = {
        "init": [str(folder)],
        "backup": [nothing, "--out", str(folder / "run.tar")],
        "restore": [nothing, str(folder / "restored")],
        "sample": ["a red heart", "--model", nothing, "--out", str(folder / "grid.png")],
    }.get(name[-1], [nothing, *AFTER_RUN.get(words, [])])
    return [*name, *given, "--json"]


@pytest.mark.parametrize(
    "words", [pytest.param(words, marks=pytest.mark.long) if words in IMPORT_TORCH else words for words in COMMANDS]
)
def test_an_error_with_json_is_one_object_on_stdout(words, tmp_path, capsys):
    (tmp_path / "run.toml").touch()
    run = node if words.startswith("paris-node") else lambda arguments: fail_clearly(coordinator, arguments)
    with pytest.raises(SystemExit) as end:
        run(failing(words, tmp_path))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == 1, told
    error = {name: value for name, value in told[0].items() if name not in ("at", "since_join_s")}
    assert error.keys() == {"event", "type", "what", "next_step", "exit_code", "error_code"}
    assert (error["event"], error["exit_code"]) == ("error", end.value.code)
    assert end.value.code not in (0, 1), error
    assert error["what"]
    assert (ERRORS / f"{error['error_code']}.md").is_file()


def test_without_json_the_error_is_told_to_people_alone(tmp_path, capsys):
    """Also after a command with --json in this process."""
    with pytest.raises(SystemExit):
        fail_clearly(coordinator, ["status", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit):
        node(["pause", "--home", str(tmp_path)])
    told = capsys.readouterr()
    assert told.out == ""
    assert "Error [run-directory]" in told.err
    assert "Error [not-running]" in told.err
