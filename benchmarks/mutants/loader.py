"""Importing one module with one change: a finder at the front of `sys.meta_path`.

Processes that a test starts see the same change: the name of the mutant is in the environment, and PYTHONPATH holds
sitecustomize/, which installs the finder at their start.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path
from types import CodeType

from benchmarks.mutants.operators import mutated_tree

VARIABLE = "PARIS_MUTANT"
"""`paris.protocol.keys:17`: the module and the index of the change."""
_ROOT = Path(__file__).resolve().parents[2]


def choose(module: str, index: int) -> None:
    """Change a module in this process, and in the processes it starts.

    Raises:
        RuntimeError: This process has imported the module already: the change would not be seen.
    """
    if module in sys.modules:
        raise RuntimeError(f"{module} is imported already.")
    os.environ[VARIABLE] = f"{module}:{index}"
    paths = [str(Path(__file__).parent / "sitecustomize"), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    install()


def install() -> None:
    """Install the finder for the mutant that the environment names."""
    module, _, index = os.environ[VARIABLE].partition(":")
    sys.meta_path.insert(0, _Finder(module, int(index)))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, index: int) -> None:
        self._module, self._index = module, index

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)  # type: ignore[arg-type]
            if spec is not None and spec.origin is not None:
                spec.loader = _Loader(fullname, spec.origin, self._index)
                return spec
        return None


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, index: int) -> None:
        super().__init__(fullname, path)
        self._index = index

    def get_code(self, fullname: str) -> CodeType:
        """Compiled from the changed tree; the bytecode cache is neither read nor written."""
        source = Path(self.path).read_text("utf-8")
        return compile(mutated_tree(source, self._index), self.path, "exec", dont_inherit=True)
