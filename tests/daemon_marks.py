"""Which tests start libp2p's daemon (p2pd), found in their code: they carry the mark `daemon`.

A test starts it where it, a fixture that it takes, or a helper that one of these calls, names something of `STARTERS`
or runs a command of `COMMANDS`. What is imported and not named in a function does not count.

`pytest -m "not daemon"` runs the others; where hivemind brings no daemon, those with the mark are skipped.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
STARTERS = (
    "hivemind",
    "paris.coordinator.demo.run",
    "paris.coordinator.service.startup.run_service",
    "paris.coordinator.service.startup.start_peer",
    "paris.node.devices.together.join",
    "paris.node.doctor.daemon_looks",
    "paris.node.doctor.examination",
    "paris.node.doctor.machine_looks.versions",
    "paris.node.join.joining.join",
    "paris.node.join.joining.running_agent",
    "paris.node.join.search.Search",
    "paris.node.join.search.connect_to",
    "paris.node.swarm.connection.peer_starter",
    "paris.protocol.dht.daemon",
    "paris.protocol.dht.exchange",
    "paris.protocol.dht.peer.Peer",
    "play.played",  # a run with faults, in a process of its own
)
"""What starts the daemon, or looks whether it is installed."""
IN_CODE = "paris.protocol.dht.peer"
"""In a text: the code of a child process that starts a peer."""
COMMANDS = ("serve", "join", "doctor", "demo")
"""Of the two programs: as a word among the arguments of a call, or in a list or tuple."""
NO_DAEMON = {
    "house": "commands are given what makes them end before they start it",
}
"""Folders of tests that name such commands and start no daemon, and why."""


@dataclass(frozen=True)
class Reached:
    """What a definition names."""

    names: frozenset[str]
    """Dotted."""
    words: frozenset[str]
    """Among the arguments of calls, and in lists and tuples."""
    fixtures: frozenset[str]


@dataclass
class Module:
    """A module of the tests."""

    path: Path
    imported: dict[str, str] = field(default_factory=dict)
    """Dotted names by the names that they have here."""
    defined: dict[str, Reached] = field(default_factory=dict)
    automatic: set[str] = field(default_factory=set)
    """Fixtures that every test of the module, or below the conftest, takes."""


def starts_daemon(path: Path, test: str) -> bool:
    """Whether a test starts the daemon.

    Args:
        path: Of its module, below `tests/`.
        test: Name of its function.
    """
    if path.relative_to(HERE).parts[0] in NO_DAEMON:
        return False
    return _Search((module_of(path), *_conftests(path))).starts_daemon(test)


@cache
def module_of(path: Path) -> Module:
    """Read a module."""
    module, tree = Module(path), ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module.imported |= {item.asname or item.name: f"{node.module}.{item.name}" for item in node.names}
        elif isinstance(node, ast.Import):
            module.imported |= {item.asname or item.name: item.name for item in node.names}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            module.defined[node.name] = _reached(node)
            if any("autouse=True" in ast.unparse(decorator) for decorator in node.decorator_list):
                module.automatic.add(node.name)
        elif isinstance(node, ast.Assign):
            module.defined |= dict.fromkeys(map(ast.unparse, node.targets), _reached(node))
        elif isinstance(node, ast.AnnAssign):
            module.defined[ast.unparse(node.target)] = _reached(node)
    return module


def _reached(definition: ast.AST) -> Reached:
    names, words, fixtures = set(), set(), set()
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute | ast.Name):
            names.add(ast.unparse(node))
        elif isinstance(node, ast.Constant) and IN_CODE in str(node.value):
            words.add(IN_CODE)
        elif isinstance(node, ast.Call | ast.List | ast.Tuple):
            items = node.args if isinstance(node, ast.Call) else node.elts
            found = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
            words |= found
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".usefixtures"):
                fixtures |= found
    if isinstance(definition, ast.FunctionDef):
        fixtures |= {argument.arg for argument in (*definition.args.args, *definition.args.kwonlyargs)}
    return Reached(frozenset(names - fixtures), frozenset(words), frozenset(fixtures))


class _Search:
    """Follows what one test leads to.

    Args:
        scopes: The test's module, and the conftests above it, the nearest first: where its fixtures are.
    """

    def __init__(self, scopes: tuple[Module, ...]) -> None:
        self._scopes = scopes
        self._seen: set[tuple[Path, str]] = set()

    def starts_daemon(self, test: str) -> bool:
        automatic = [(each, name) for each in self._scopes for name in sorted(each.automatic)]
        return any(self._starts(each, name) for each, name in [(self._scopes[0], test), *automatic])

    def _starts(self, module: Module, name: str) -> bool:
        """Whether a definition of a module, or what it leads to, starts the daemon."""
        if (module.path, name) in self._seen or name not in module.defined:
            return False
        self._seen.add((module.path, name))
        reached = module.defined[name]
        if not reached.words.isdisjoint({*COMMANDS, IN_CODE}):
            return True
        if any(self._leads_to_start(module, used) for used in sorted(reached.names)):
            return True
        return module in self._scopes and any(map(self._fixture_starts, sorted(reached.fixtures)))

    def _fixture_starts(self, name: str) -> bool:
        nearest = next((each for each in self._scopes if name in each.defined), None)
        return nearest is not None and self._starts(nearest, name)

    def _leads_to_start(self, module: Module, used: str) -> bool:
        first, _, rest = used.partition(".")
        if first in module.defined:
            return self._starts(module, first)
        if first not in module.imported:
            return False
        dotted = ".".join(filter(None, (module.imported[first], rest)))
        if any(f"{dotted}.".startswith(f"{starter}.") for starter in STARTERS):
            return True
        helper, _, name = dotted.partition(".")
        return any(self._starts(module_of(path), name.partition(".")[0]) for path in _helpers(helper))


@cache
def _helpers(name: str) -> tuple[Path, ...]:
    """Modules of the tests of a name; names of files are unique."""
    return tuple(HERE.rglob(f"{name}.py"))


def _conftests(path: Path) -> Iterator[Module]:
    """Those that apply to a module, the nearest first."""
    for folder in path.parents:
        if folder == HERE.parent:
            return
        if (folder / "conftest.py").is_file():
            yield module_of(folder / "conftest.py")
