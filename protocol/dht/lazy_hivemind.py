"""hivemind without torch: its packages take in a part only when a name of it is asked for.

`hivemind/__init__.py` imports everything that hivemind can do, torch and optimizers included; of all that, a peer needs
`hivemind.dht.node`, `hivemind.p2p` and small helpers, which need no torch. A finder on `sys.meta_path` loads some
packages without running their `__init__`: the names that it would import are read from its source, and imported when
they are used. A hivemind that was imported before stays as it is.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGES = frozenset({"hivemind", "hivemind.dht", "hivemind.utils"})
"""Those whose `__init__` imports torch."""


class _LazyPackage(ModuleType):
    """A package that knows where its names come from."""

    def __getattr__(self, name: str) -> Any:
        source = self.__dict__.get("_sources", {}).get(name)
        if source is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module, original = source
        value = getattr(importlib.import_module(module), original)
        setattr(self, name, value)
        return value


class _LazyLoader(Loader):
    def __init__(self, init: Path) -> None:
        self._init = init

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LazyPackage(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["_sources"] = _imported_names(self._init.read_text("utf-8"))


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _PACKAGES:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None or found.submodule_search_locations is None:
            return None
        spec = ModuleSpec(fullname, _LazyLoader(Path(found.origin)), origin=found.origin, is_package=True)
        spec.submodule_search_locations = found.submodule_search_locations
        spec.has_location = True
        return spec


def install() -> None:
    """Load hivemind this way from now on; more than once is harmless."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _imported_names(source: str) -> dict[str, tuple[str, str]]:
    """The names that a module takes with `from ... import ...`: from which module, and what they are called there."""
    statements = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.asname or alias.name: (str(node.module), alias.name) for node in statements for alias in node.names}
