"""Running tests against mutants: a fork for each, so that a mutant costs its tests and not the imports before them."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.mutants import loader

_BROKEN = 70
"""Exit status of a fork that came to no tests; pytest's own are below."""
_FACTOR, _EXTRA_S = 4.0, 10.0
"""A mutant may take so many times as long as the unchanged module, and so much longer."""


@dataclass
class Fork:
    """One process that runs tests."""

    pid: int
    output: Path
    ends_by: float
    started: float = field(default_factory=time.monotonic)


def start(tests: Sequence[str], mutant: tuple[str, int] | None, limit_s: float, output: Path) -> Fork:
    """Run tests in a fork.

    Args:
        tests: What pytest is given.
        mutant: Module and index of the change; None changes nothing.
        limit_s: After so long the fork is killed.
        output: Takes what it prints.
    """
    pid = os.fork()
    if pid:
        return Fork(pid, output, time.monotonic() + limit_s)
    code = _BROKEN
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        if mutant is not None:
            loader.choose(*mutant)
        import pytest

        options = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        code = int(pytest.main([*options, *tests]))
        if mutant is None:
            output.with_suffix(".modules").write_text("\n".join(sorted(sys.modules)))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(fork: Fork) -> int | None:
    """The exit status, or None while it runs; -9 when its time was over. Leaves no process behind.

    Raises:
        SystemExit: The fork came to no tests.
    """
    pid, status = os.waitpid(fork.pid, os.WNOHANG)
    late = time.monotonic() > fork.ends_by
    if not pid and not late:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(fork.pid, signal.SIGKILL)
    if not pid:
        os.waitpid(fork.pid, 0)
        return -signal.SIGKILL
    code = os.waitstatus_to_exitcode(status)
    if code == _BROKEN:
        raise SystemExit(f"A fork came to no tests:\n{fork.output.read_text('utf-8', 'replace')}")
    return code


def baseline(tests: Sequence[str]) -> float:
    """Run the tests on the unchanged module, and import here what they imported from elsewhere.

    Returns:
        How long a mutant may take, seconds.

    Raises:
        SystemExit: They fail.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        fork = start(tests, None, 600, output)
        while (code := ended(fork)) is None:
            time.sleep(0.02)
        if code:
            raise SystemExit(f"{' '.join(tests)} fail without a mutant:\n{output.read_text('utf-8', 'replace')}")
        for name in output.with_suffix(".modules").read_text("utf-8").split():
            # Ours are imported in the forks, one of them with a change.
            if _is_elsewhere(name):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
    return _FACTOR * (time.monotonic() - fork.started) + _EXTRA_S


def _is_elsewhere(name: str) -> bool:
    return name.split(".")[0] in {
        "cryptography", "hypothesis", "huggingface_hub", "numpy", "pydantic", "pytest", "safetensors", "sqlalchemy",
        "starlette", "torch", "hivemind", "pyarrow", "httpx2", "rich", "typer", "json", "logging", "uvicorn",
    }  # fmt: skip
