"""A group's tests, collected once: what each calls, and the mutants of functions, each in a fork of this process.

Such a mutant imports nothing: its fork replaces the code of one function and runs the tests that call it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutants import loader, running
from benchmarks.mutants.calls import Calls, Tracer
from benchmarks.mutants.operators import Mutant
from benchmarks.mutants.plan import ROOT

Chosen = Sequence[tuple[str, int, Mutant]]
"""Path of the module, index of the change, the change."""


def module_of(path: str) -> str:
    """The name under which a file of the repository is imported."""
    return "paris." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class Collected:
    """A pytest plugin that runs mutants in place of the tests.

    Args:
        mutants: All that are to be run; those that need an import are left to the caller.
        jobs: Forks at the same time.
        folder: Takes `calls.json` and `codes.json`, the exit status of each mutant by its number here.
    """

    def __init__(self, mutants: Chosen, jobs: int, folder: Path) -> None:
        self._mutants, self._jobs, self._folder = mutants, jobs, folder

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the tests."""
        calls = self._measured(session)
        items = {item.nodeid: item for item in session.items}
        starts = self._starts(session, items, calls)
        codes = {number: code for number, code, _ in running.run_all(starts, self._jobs) if code != running.RELOAD}
        (self._folder / "codes.json").write_text(json.dumps(codes), "utf-8")
        return True

    def _measured(self, session: pytest.Session) -> Calls:
        """Run the unchanged tests in a fork.

        Raises:
            UsageError: They fail.
        """
        file = self._folder / "calls.json"

        def work() -> int:
            tracer = Tracer()
            for number, item in enumerate(session.items):
                tracer.start(item.nodeid)
                began = sum(os.times()[:4])
                _run(item, session.items[number + 1] if number + 1 < len(session.items) else None)
                tracer.stop(sum(os.times()[:4]) - began)
                if session.testsfailed:
                    print(f"\n{item.nodeid} failed")
                    return running.FAILED
            file.write_text(json.dumps(asdict(tracer.calls)), "utf-8")
            (self._folder / "modules").write_text("\n".join(_modules_from_elsewhere()), "utf-8")
            return 0

        one = running.fork(work, self._folder / "unchanged", None)
        if code := next(running.run_all(iter([(0, lambda: one)]), 1))[1]:
            output = (self._folder / "unchanged" / "output").read_text("utf-8", "replace")
            raise pytest.UsageError(f"The tests fail without a mutant ({code}):\n{output}")
        return read_calls(file)

    def _starts(
        self, session: pytest.Session, items: dict[str, pytest.Item], calls: Calls
    ) -> Iterator[tuple[int, Callable[[], running.Fork]]]:
        functions = {path: loader.functions_of(module_of(path)) for path in {path for path, *_ in self._mutants}}
        gc.freeze()  # a collection in a fork would copy the heap; what is frozen is found no more
        for number, (path, index, mutant) in enumerate(self._mutants):
            if not calls.was_called(path, mutant):
                continue
            name, tests = module_of(path), calls.chosen(path, mutant)
            chosen = [items[test] for test in tests]
            change = partial(loader.replace_code, functions[path], name, index, mutant.function or 0)
            tried = partial(_tried, session, chosen, change)
            yield number, partial(running.fork, tried, self._folder / str(number), calls.seconds_of(tests))


def read_calls(file: Path) -> Calls:
    """What `Collected` has measured."""
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    tests = {path: {int(line): names for line, names in lines.items()} for path, lines in found["tests"].items()}
    return Calls(found["seconds"], tests)


def _modules_from_elsewhere() -> list[str]:
    files = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
    return sorted(name for name, file in files.items() if "/site-packages/" in file or not file.startswith(f"{ROOT}/"))


def _tried(session: pytest.Session, items: Sequence[pytest.Item], change: Callable[[], bool]) -> int:
    if not change():
        return running.RELOAD
    for number, item in enumerate(items):
        _run(item, items[number + 1] if number + 1 < len(items) else None)
        if session.testsfailed:
            return running.FAILED
    return 0


def _run(item: pytest.Item, following: pytest.Item | None) -> None:
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
