"""The mutants of one group: chosen, run, and counted by module."""

from __future__ import annotations

import contextlib
import importlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.mutants import collected, loader, running
from benchmarks.mutants.calls import Calls
from benchmarks.mutants.operators import list_mutants
from benchmarks.mutants.plan import ROOT, Group

_SLOW_TO_IMPORT = (
    "cryptography", "hivemind", "httpx2", "huggingface_hub", "numpy", "pyarrow", "pydantic", "rich", "safetensors",
    "sqlalchemy", "starlette", "torch", "typer", "uvicorn",
)  # fmt: skip
"""Of what comes from elsewhere; not all of it can be imported before its time."""
_IMPORTS_S = 5.0
"""Processor time of our own imports."""


def score(group: Group, paths: list[str], jobs: int, share: float, seed: int) -> list[dict[str, Any]]:
    """Run mutants of a group's modules.

    Args:
        group: Gives the tests.
        paths: Which of its modules.
        jobs: Processes at the same time.
        share: Of each module's mutants, 0 to 1.
        seed: Which sample.

    Returns:
        A row for each module.

    Raises:
        SystemExit: The unchanged tests fail.
    """
    began = time.monotonic()
    all_mutants = {path: list_mutants((ROOT / path).read_text("utf-8")) for path in paths}
    chosen = [
        (path, index, mutants[index])
        for path, mutants in all_mutants.items()
        for index in _sample(len(mutants), share, f"{seed} {path}")
    ]
    folder = Path(tempfile.mkdtemp())
    try:
        codes = _run(group, chosen, jobs, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{group.name}: {len(chosen)} mutants in {time.monotonic() - began:.0f} s", flush=True)
    return [_row(group, path, seed, len(all_mutants[path]), chosen, codes) for path in paths if all_mutants[path]]


def _sample(count: int, share: float, seed: str) -> list[int]:
    return sorted(random.Random(seed).sample(range(count), min(count, max(1, round(share * count)))))


def _run(group: Group, chosen: collected.Chosen, jobs: int, folder: Path) -> dict[int, int]:
    """The exit status of each mutant, by its number in `chosen`."""

    def collect() -> int:
        import pytest

        plugin = collected.Collected(chosen, jobs, folder)
        return int(pytest.main([*running.OPTIONS, *_quick(), *group.test_paths()], plugins=[plugin]))

    code = _wait(running.fork(collect, folder / "collected", None))
    if not (folder / "codes.json").exists():
        output = (folder / "collected" / "output").read_text("utf-8", "replace")
        raise SystemExit(f"{group.name}: the tests were not run ({code}):\n{output}")
    codes = {int(number): code for number, code in json.loads((folder / "codes.json").read_text("utf-8")).items()}
    calls = collected.read_calls(folder / "calls.json")
    _import_others(folder / "modules")
    _require_sound(chosen, codes, calls, folder)
    imported = _imported(chosen, codes, calls, folder)
    codes |= {number: code for number, code, _ in running.run_all(imported, jobs)}
    if broken := [chosen[number] for number, code in codes.items() if code == running.BROKEN]:
        raise SystemExit(f"{group.name}: forks came to no tests: {broken[:3]}")
    return codes


def _require_sound(chosen: collected.Chosen, codes: dict[int, int], calls: Calls, folder: Path) -> None:
    """Check that the tests pass after an import without a change, as after one with it.

    Raises:
        SystemExit: They fail, so that every mutant would seem killed.
    """
    others = [(path, mutant) for number, (path, _, mutant) in enumerate(chosen) if number not in codes]
    tests = list(dict.fromkeys(test for path, mutant in others for test in calls.chosen(path, mutant)))
    if tests and _wait(running.fork(partial(_run_tests, tests), folder / "imported", None)):
        output = (folder / "imported" / "output").read_text("utf-8", "replace")
        raise SystemExit(f"The tests fail after an import without a mutant:\n{output[-4000:]}")


def _imported(
    chosen: collected.Chosen, codes: dict[int, int], calls: Calls, folder: Path
) -> Iterator[tuple[int, Callable[[], running.Fork]]]:
    """The mutants that need an import: those outside of functions, or of functions that only imports call."""
    for number, (path, index, mutant) in enumerate(chosen):
        if number in codes:
            continue
        tests = calls.chosen(path, mutant)
        work = partial(_with_import, collected.module_of(path), index, tests)
        yield number, partial(running.fork, work, folder / str(number), _IMPORTS_S + calls.seconds_of(tests))


def _with_import(module: str, index: int, tests: list[str]) -> int:
    loader.choose(module, index)
    return _run_tests(tests)


def _run_tests(tests: list[str]) -> int:
    import pytest

    # Whatever else pytest says, such as a module that cannot be imported: the change was noticed.
    return running.FAILED if pytest.main([*running.OPTIONS, *_quick(), *tests]) else 0


def _quick() -> list[str]:
    """Failing examples are found, and not made smaller."""
    from hypothesis import Phase, settings

    settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None, deadline=None)
    return ["--hypothesis-profile=mutants"]


def _wait(running_fork: running.Fork) -> int:
    return next(running.run_all(iter([(0, lambda: running_fork)]), 1))[1]


def _import_others(file: Path) -> None:
    """Import here what the tests imported from elsewhere; ours are imported in forks, one of them with a change."""
    for name in file.read_text("utf-8").split() if file.exists() else []:
        if name.split(".")[0] in _SLOW_TO_IMPORT and name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _row(
    group: Group, path: str, seed: int, count: int, chosen: collected.Chosen, codes: dict[int, int]
) -> dict[str, Any]:
    mine = [(mutant, codes[number]) for number, (of, _, mutant) in enumerate(chosen) if of == path]
    return {
        "group": group.name,
        "seed": seed,
        "module": path,
        "mutants": count,
        "run": len(mine),
        "killed": sum(code != 0 for _, code in mine),
        "ended by a limit": sum(code < 0 for _, code in mine),
        "survivors": [f"{mutant.line}: {mutant.what}" for mutant, code in mine if code == 0],
    }
