"""Changing one module of this process: by the code of one function, or by a finder at the front of `sys.meta_path`.

Processes that a test starts see the same change: the name of the mutant is in the environment, and PYTHONPATH holds
sitecustomize/, which installs the finder at their start.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

from benchmarks.mutants.operators import mutated_tree

VARIABLE = "MUTANT_OF_PARIS"
"""`paris.protocol.keys:17`: the module and the index of the change. Tests drop variables that begin with PARIS_."""
_ROOT = Path(__file__).resolve().parents[2]


def choose(module: str, index: int) -> None:
    """Change a module in this process, and in the processes it starts.

    Raises:
        RuntimeError: This process has imported the module already: the change would not be seen.
    """
    if module in sys.modules:
        raise RuntimeError(f"{module} is imported already.")
    _name_for_children(module, index)
    install()


def functions_of(module: str) -> list[FunctionType]:
    """The functions that a module has defined, decorated ones, too; none where it is not imported."""
    if module not in sys.modules:
        return []
    path = str(sys.modules[module].__file__)
    return [item for item in gc.get_objects() if type(item) is FunctionType and item.__code__.co_filename == path]


def replace_code(functions: Iterable[FunctionType], module: str, index: int, first_line: int) -> bool:
    """Give a function its changed code, in this process and in the processes it starts.

    Args:
        functions: `functions_of` the module.
        module: Its name.
        index: Of the change.
        first_line: `Mutant.function`.

    Returns:
        Whether that was possible; else the module has to be imported with the change.
    """
    path = str(sys.modules[module].__file__)
    changed = compile(mutated_tree(Path(path).read_text("utf-8"), index), path, "exec", dont_inherit=True)
    codes = {code.co_qualname: code for code in _codes(changed) if code.co_firstlineno == first_line}
    same = [one for one in functions if one.__code__.co_firstlineno == first_line and one.__code__.co_qualname in codes]
    for function in same:
        code = codes[function.__code__.co_qualname]
        if code.co_freevars != function.__code__.co_freevars:
            return False
        function.__code__ = code
    _name_for_children(module, index)
    return bool(same)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _name_for_children(module: str, index: int) -> None:
    os.environ[VARIABLE] = f"{module}:{index}"
    paths = [str(Path(__file__).parent / "sitecustomize"), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)


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
