"""The exit codes in the documents are those of the errors, both ways; and documented command lines run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest
from command_lines import all_commands, lines_in
from documents import ROOT, SHELL, blocks, markdown_files
from typer.testing import CliRunner

from paris.coordinator.cli.app import app as organiser
from paris.node.cli import app as volunteer

APPS = {"paris-coord": organiser, "paris-node": volunteer}
SIDES = {
    "volunteers.md": ("node", "protocol", "experts"),
    "organisers/watching.md": ("coordinator", "protocol", "experts"),
}
OF_THE_COMMAND_LINE = {1, 2}
"""Without an error class: no code of its own, and what the parser of the command line refuses."""


@cache
def classes_and_calls(folder: str) -> list[ast.AST]:
    trees = (ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / folder).rglob("*.py")))
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.Call)]


def nodes(folders: tuple[str, ...]) -> Iterator[ast.AST]:
    return (node for folder in folders for node in classes_and_calls(folder))


def codes_by_name(folders: tuple[str, ...]) -> dict[str, set[int]]:
    """The exit codes of the error classes of a name; a class without its own has that of its bases."""
    classes = [node for node in nodes(folders) if isinstance(node, ast.ClassDef)]
    codes: dict[str, set[int]] = {}
    for node in classes:
        own = {
            item.value.value
            for item in node.body
            if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "exit_code"
        }
        if own:
            codes.setdefault(node.name, set()).update(own)
    for node in classes:
        bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in codes]
        if node.name not in codes and bases:
            codes[node.name] = set().union(*(codes[base] for base in bases))
    return codes


def documented(name: str) -> list[tuple[str, set[int]]]:
    """Rows of the page's table of codes: the first column's text, and the codes."""
    text = (ROOT / "docs" / name).read_text("utf-8")
    if name == "volunteers.md":
        rows = re.findall(r"^\| (.+?) \| ([\d, -]+) \|", text[text.index("## Troubleshooting") :], re.MULTILINE)
    else:
        table = re.search(r"^\| code \| meaning \|\n\| --- \| --- \|\n((?:\|.*\n)+)", text, re.MULTILINE)
        rows = [
            (meaning, code) for code, meaning in re.findall(r"^\| ([\d, to-]+) \| (.+) \|$", table[1], re.MULTILINE)
        ]
    return [(said, numbers(codes)) for said, codes in rows]


def numbers(text: str) -> set[int]:
    """Such as "40, 4", "21-29", "20 to 29, 31" or "-"."""
    found: set[int] = set()
    for part in text.replace(" to ", "-").split(","):
        first, _, last = part.strip().partition("-")
        if first:
            found.update(range(int(first), int(last or first) + 1))
    return found


def test_no_two_errors_of_the_organisers_side_share_an_exit_code():
    """A class without a code of its own has that of its base, on purpose."""
    owners: dict[int, list[str]] = {}
    for node in nodes(SIDES["organisers/watching.md"]):
        for item in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "exit_code":
                owners.setdefault(item.value.value, []).append(node.name)
    assert len(owners) > 40
    assert {code: names for code, names in owners.items() if len(names) > 1} == {}


@pytest.mark.parametrize("name", SIDES)
def test_every_exit_code_is_documented_and_no_other(name):
    real = set().union(*codes_by_name(SIDES[name]).values()) | {130}
    said = set().union(*(codes for _, codes in documented(name)))
    assert said - real - OF_THE_COMMAND_LINE == set()
    assert real - said - OF_THE_COMMAND_LINE == set()


def test_the_code_beside_a_message_is_that_of_the_error_which_says_it():
    codes, said = codes_by_name(SIDES["volunteers.md"]), []
    for call in nodes(SIDES["volunteers.md"]):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in codes and call.args:
            said += [(text_of(call.args[0]), code) for code in codes[call.func.id]]
    num_checked = 0
    for row, row_codes in documented("volunteers.md"):
        for message in re.findall(r"`([^`]+)`", row):
            pieces = [piece.strip() for piece in message.split("...") if len(piece.strip()) > 8]
            found = {code for text, code in said if pieces and all(piece in text for piece in pieces)}
            if found and row_codes:
                num_checked += 1
                assert found & row_codes, (message, found, row_codes)
    assert num_checked >= 12


def text_of(node: ast.expr) -> str:
    """The text of a literal, with ... for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(text_of(part) if isinstance(part, ast.Constant) else "..." for part in parts)


@pytest.mark.parametrize("words", [words for words, _ in all_commands()])
def test_every_command_shows_its_help(words):
    program, *rest = words.split()
    answer = CliRunner().invoke(APPS[program], [*rest, "--help"])
    assert answer.exit_code == 0
    assert f"Usage: {words.replace(program, program)}" in answer.stdout


CHEAP = ("paris-node status", "paris-node identity show", "paris-node gc", "paris-coord recipes", "paris-coord init")
"""They need neither a network, nor a run, nor pictures."""
CHEAP_LINES = sorted(
    {
        re.sub(r"\s+#.*", "", line).strip()
        for path in markdown_files()
        for block in blocks(path)
        if block.language in SHELL
        for line in lines_in(block.text)
        if line.startswith(CHEAP) and "--data" not in line
    }
)


@pytest.mark.parametrize("line", CHEAP_LINES)
def test_documented_command_lines_that_need_nothing_run(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARIS_HOME", str(tmp_path / "home"))
    program, *rest = line.split()
    answer = CliRunner().invoke(APPS[program], rest)
    assert answer.exit_code == 0, answer.output


def test_tests_that_the_documents_name_exist():
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    known = set(re.findall(r"def (test_\w+)", code))
    for path in markdown_files():
        text = path.read_text("utf-8")
        assert [name for name in re.findall(r"`(test_\w+)`", text) if name not in known] == []
        assert [name for name in re.findall(r"`((?:[\w.]+/)*test_\w+\.py)`", text) if not (ROOT / name).is_file()] == []
