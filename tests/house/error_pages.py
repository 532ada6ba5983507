"""The errors of the code as data, and what their pages say of them: `python tests/house/error_pages.py`.

It writes the head of each page in docs/errors, and the list of all. Below the head a page is written by hand.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from documents import ROOT

FOLDER = ROOT / "docs" / "errors"
INDEX = "README.md"
END = "<!-- end of head -->"
_BASES = ("ParisError", "ExpertError")
_PROGRAMS = {"node": "`paris-node`", "coordinator": "`paris-coord`"}
_NOT_OURS = {
    "no-answer": "Something did not answer in time, and nothing more is known.",
    "system": "The system refused an operation on a file, a socket or a process.",
    "unexpected": "An error that the program does not know; in most cases a defect.",
}
"""Error codes of `paris.protocol.errors` without a class of their own."""
NOT_AT_A_COMMAND_LINE = {
    "Refusal": "the Hub answers a request with it",
    "WrongBytesError": "the node asks another peer",
    "TooLateError": "the node asks another peer",
}
"""Classes without an error code, and what becomes of them."""

_ABOUT = """# Errors

The message of an error begins with its error code, as in `Error [no-peers]: ...`. Each code has a page here: what it
means, common causes, and what to do. Several error codes may have the same exit code.

Where a command takes `--json`, its error is one more line on standard output:

```json
{"event": "error", "at": 1760000000.1, "type": "RunDirError", "what": "...", "next_step": "...", "exit_code": 61,
 "error_code": "run-directory"}
```

`paris-coord --log-format json` has `exit_code` and `error_code` on standard error, too.
"""


@dataclass(frozen=True)
class Kind:
    """An error class as it stands in the code."""

    name: str
    file: str
    meaning: str
    exit_code: int
    error_code: str | None
    """None where the class has that of its base."""


@cache
def kinds() -> tuple[Kind, ...]:
    """Every error class of the product that has a message and a next step, without the two bases."""
    found: dict[str, Kind] = {}
    classes = [
        (node, path.relative_to(ROOT).as_posix())
        for top in ("protocol", "experts", "node", "coordinator")
        for path in sorted((ROOT / top).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.name not in _BASES
    ]
    for _ in range(3):  # a class may stand before its base
        for node, file in classes:
            bases = [ast.unparse(base) for base in node.bases]
            own = [found[f"{other}:{base}"] for base in bases for other in _files(base, found)]
            if own or set(bases) & set(_BASES):
                exit_code = _assigned(node, "exit_code", own[0].exit_code if own else 1)
                meaning = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
                kind = Kind(node.name, file, meaning, exit_code, _assigned(node, "error_code", None))
                found[f"{file}:{node.name}"] = kind
    return tuple(found.values())


def _files(name: str, found: dict[str, Kind]) -> list[str]:
    return [key.partition(":")[0] for key in found if key.endswith(f":{name}")]


def _assigned(node: ast.ClassDef, name: str, otherwise: object) -> object:
    values = [
        item.value.value for item in node.body if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == name
    ]
    return values[0] if values else otherwise


def by_code() -> dict[str, list[Kind]]:
    """The classes of each error code; codes of errors that are not ours have none."""
    found: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds():
        if kind.error_code is not None:
            found[kind.error_code].append(kind)
    return dict(sorted({**{code: [] for code in _NOT_OURS}, **found}.items()))


def _meaning(code: str) -> str:
    return _NOT_OURS.get(code) or by_code()[code][-1].meaning


def _programs(code: str) -> str:
    both = " and ".join(_PROGRAMS.values())
    said = {_PROGRAMS.get(kind.file.partition("/")[0], both) for kind in by_code()[code]}
    return said.pop() if len(said) == 1 else both


def _exit_codes(code: str) -> list[int]:
    return sorted({kind.exit_code for kind in by_code()[code]}) or [1]


def head(code: str) -> str:
    """What the code says of an error: its meaning, programs, exit codes and classes."""
    classes = ", ".join(f"`{kind.name}` in `{kind.file}`" for kind in by_code()[code])
    numbers = " or ".join(map(str, _exit_codes(code)))
    where = f"{_programs(code)}, exit code {numbers}" + (f". {classes}." if classes else ".")
    return f"# {code}\n\n{_meaning(code)}\n\n{where}\n\n{END}\n"


def index() -> str:
    """The list of all errors."""
    rows = [
        f"| [{code}]({code}.md) | {', '.join(map(str, _exit_codes(code)))} | {_programs(code)} | {_meaning(code)} |"
        for code in by_code()
    ]
    return (
        f"{_ABOUT}\n| error code | exit code | program | meaning |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    for code in by_code():
        page = FOLDER / f"{code}.md"
        by_hand = page.read_text("utf-8").partition(END)[2].lstrip("\n") if page.is_file() else ""
        page.write_text(f"{head(code)}\n{by_hand}", "utf-8")
    (FOLDER / INDEX).write_text(index(), "utf-8")
