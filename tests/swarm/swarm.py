"""Real processes of a small run: started as a person would, waited for with deadlines, ended by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from deadlines import DEADLINE_S
from recorded_network import recording

TINY = Path(__file__).with_name("tiny.toml")
_POLL_S = 0.1


def record_network(patch: pytest.MonkeyPatch, file: Path) -> None:
    """Let Python processes that start from now on record their look-ups and connections in a file."""
    environment = recording(file, os.environ)
    for name in os.environ.keys() - environment.keys():
        patch.delenv(name)
    for name, value in environment.items():
        patch.setenv(name, value)


def recorded(file: Path) -> list[str]:
    """The lines of such a record; at least those of the nodes' requests to the Hub are there."""
    lines = file.read_text("utf-8").splitlines()
    assert any("paris.node.cli join" in line for line in lines)
    return lines


def warm_recipe() -> str:
    """The tiny recipe with a common start."""
    return TINY.read_text("utf-8").replace("[model]\n", "[model]\nwarm_start_steps = 40\n")


def command(
    *arguments: str, timeout_s: float = DEADLINE_S, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `paris-coord` or `paris-node` to its end; the first argument says which."""
    module = {"paris-coord": "paris.coordinator.cli.app", "paris-node": "paris.node.cli"}[arguments[0]]
    return subprocess.run(
        [sys.executable, "-m", module, *arguments[1:]],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **(env or {})},
        check=False,
    )


def serve_tiny(folder: Path, crew: Callable[..., Process], settings: Mapping[str, str]) -> Path:
    """A served run of the tiny recipe.

    Args:
        folder: Gets the recipe and the run.
        crew: Starts long-running commands: the fixture.
        settings: Pieces of the recipe's text, and what stands in their place.
    """
    text = TINY.read_text("utf-8")
    for old, new in settings.items():
        assert old in text
        text = text.replace(old, new)
    recipe, run = folder / "recipe.toml", folder / "run"
    recipe.write_text(text)
    for arguments in (
        ("init", str(run), "--recipe", str(recipe)),
        ("prepare", str(run)),
        ("publish-tasks", str(run)),
    ):
        result = command("paris-coord", *arguments)
        assert result.returncode == 0, result.stderr
    crew("coordinator", "paris-coord", "serve", str(run), "--json")
    wait_until((run / "run.json").is_file, DEADLINE_S, "run.json")
    return run


def join(run: Path, crew: Callable[..., Process], name: str, *more: str, session: str = "") -> Process:
    """A node of a volunteer, whose home is beside the run."""
    home = ("--home", str(run.parent / name), "--name", name, "--threads", "1", "--device", "cpu", "--json")
    return crew(name + session, "paris-node", "join", str(run / "run.json"), *home, *more)


def wait_until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Look again and again until something is true; fail with `what` at the deadline."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        pause.wait(_POLL_S)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


class Process:
    """One long-running command with its output in files."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        module = {"paris-coord": "paris.coordinator.cli.app", "paris-node": "paris.node.cli"}[arguments[0]]
        self.stdout, self.stderr = folder / f"{name}.jsonl", folder / f"{name}.log"
        with self.stdout.open("ab") as out, self.stderr.open("ab") as err:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments[1:]], stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines so far."""
        lines = self.stdout.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def event(self, name: str) -> dict[str, Any] | None:
        """The newest event of a kind."""
        return next((e for e in reversed(self.events) if e["event"] == name), None)

    def tree(self) -> list[psutil.Process]:
        """This process and all below it."""
        try:
            top = psutil.Process(self.popen.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """kill -9, and nothing else."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self, timeout_s: float = DEADLINE_S) -> int:
        """SIGTERM, and wait."""
        if self.popen.poll() is None:
            self.popen.terminate()
        return self.popen.wait(timeout_s)


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether none of these still runs; a zombie that nobody reaped counts as gone."""
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def status(run: Path) -> dict[str, Any]:
    """`paris-coord status RUN --json`."""
    result = command("paris-coord", "status", str(run), "--json")
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return dict(json.loads(result.stdout))
