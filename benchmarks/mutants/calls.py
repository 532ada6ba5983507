"""Which tests call which function, and how long each test takes: measured while the unchanged tests run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.mutants.operators import Mutant
from benchmarks.mutants.plan import BOUNDS, ROOT

_BUDGET_S = 8.0
"""Tests of so much processor time at most run against one mutant, the quickest files first."""


@dataclass
class Calls:
    """What the unchanged tests did."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Processor time by test, of the processes that it started and awaited, too."""
    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    """By the module's path from the root and the first line of its function: the tests that called it."""

    def chosen(self, path: str, mutant: Mutant) -> list[str]:
        """The tests to run against a mutant: those that call its function, else its module, else all; in a budget.

        Args:
            path: Of the module.
            mutant: One of its changes.
        """
        functions = self.tests.get(path, {})
        first = [test for test in self.seconds if mutant.function is None and test.startswith(f"{BOUNDS}::")]
        tests = functions.get(mutant.function or 0) or sorted({test for tests in functions.values() for test in tests})
        return [*first, *_within_budget(tests or list(self.seconds), self.seconds, Path(path).stem)]

    def was_called(self, path: str, mutant: Mutant) -> bool:
        """Whether a test called the mutant's function in this process."""
        return mutant.function is not None and mutant.function in self.tests.get(path, {})

    def seconds_of(self, tests: Sequence[str]) -> float:
        """Processor time of the unchanged tests."""
        return sum(self.seconds[test] for test in tests)


def _within_budget(tests: Sequence[str], seconds: dict[str, float], stem: str) -> list[str]:
    """Whole files in order of their time, those that bear the module's name first."""
    by_file: dict[str, list[str]] = {}
    for test in tests:
        by_file.setdefault(test.split("::")[0], []).append(test)
    order = sorted(
        by_file, key=lambda file: (stem not in Path(file).stem, sum(seconds[test] for test in by_file[file]))
    )
    chosen: list[str] = []
    spent_s = 0.0
    for test in (test for file in order for test in by_file[file]):
        if not chosen or spent_s + seconds[test] <= _BUDGET_S:
            chosen.append(test)
            spent_s += seconds[test]
    return chosen


class Tracer:
    """Notes the calls of our functions, in every thread."""

    def __init__(self) -> None:
        self.calls = Calls()
        self._test = ""
        self._paths: dict[str, str | None] = {}
        self._seen: set[tuple[str, str, int]] = set()

    def start(self, test: str) -> None:
        """From here calls belong to this test."""
        self._test = test
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def stop(self, seconds: float) -> None:
        """The test is over."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.calls.seconds[self._test] = seconds

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        path = self._paths.get(code.co_filename, "")
        if path == "":
            inside = code.co_filename.startswith(f"{ROOT}/") and "/.venv/" not in code.co_filename
            path = self._paths[code.co_filename] = code.co_filename.removeprefix(f"{ROOT}/") if inside else None
        if path is None:
            return
        key = self._test, path, code.co_firstlineno
        if key not in self._seen:
            self._seen.add(key)
            self.calls.tests.setdefault(path, {}).setdefault(code.co_firstlineno, []).append(self._test)
