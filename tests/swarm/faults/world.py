"""A small served run and its one volunteer, for faults: the smallest model that passes the ladder, 120 steps.

The volunteer reaches the Hub through a front that answers for it when a fault says so. The world is made from a
template, a run directory that was prepared once; each gets ports of its own.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from deadlines import DEADLINE_S
from hub_front import HubFront
from swarm import TINY, Process, all_gone, command, join, wait_until

from paris.coordinator.run.config import load_config
from paris.coordinator.run.create import free_port
from paris.experts.files import write_whole

STEPS, SNAPSHOT_EVERY = 120, 15
RUN_S = 2 * DEADLINE_S
"""For a wait in which a process starts anew and trains."""
LEASED, READY, UPLOADING, SUBMITTED, ENDED = 0, 1, 10, 11, 12
"""Moments of the run; 2 to 9 are the eight snapshots."""
_RECIPE = {
    "num_experts = 2": "num_experts = 1",
    "train_after = 2": "train_after = 0",
    "steps = 240": f"steps = {STEPS}",
    "snapshot_every = 30": f"snapshot_every = {SNAPSHOT_EVERY}",
}
_MOMENTS = {"leased": LEASED, "trainer-ready": READY, "uploading": UPLOADING, "submitted": SUBMITTED, "verdict": ENDED}


def make_template(folder: Path) -> Path:
    """Prepare the run that the worlds are copies of."""
    text = TINY.read_text("utf-8")
    for old, new in _RECIPE.items():
        assert old in text
        text = text.replace(old, new)
    recipe, run = folder / "recipe.toml", folder / "run"
    recipe.write_text(text)
    for arguments in (("init", str(run), "--recipe", str(recipe)), ("prepare", str(run)), ("publish-tasks", str(run))):
        done = command("paris-coord", *arguments)
        assert done.returncode == 0, done.stderr
    return run


class World:
    """The run and its processes; `close` ends those that still run.

    Args:
        folder: An empty one.
        template: As `make_template` made it.
        seed: Of all that is random in the faults.
    """

    def __init__(self, folder: Path, template: Path, seed: int) -> None:
        self.folder, self.run = folder, folder / "run"
        self.home = folder / "ada"
        self.random = random.Random(seed)
        self.environment: dict[str, dict[str, str]] = {"coordinator": {}, "node": {}}
        """What the programs get beside this process's own environment."""
        self.sessions: dict[str, list[Process]] = {"coordinator": [], "node": []}
        self.seen: set[psutil.Process] = set()
        """Processes that must not outlive the run."""
        shutil.copytree(template, self.run)
        settings = self.run / "run.toml"
        text = settings.read_text("utf-8")
        text = re.sub(r"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{free_port('127.0.0.1')}", text)
        settings.write_text(re.sub(r"/tcp/\d+", f"/tcp/{free_port('127.0.0.1')}", text))
        self.config = load_config(self.run)
        self.front = HubFront(self.config.hub.endpoint, self.random)

    def start(self) -> None:
        """Serve the run, and join it."""
        self.front.__enter__()
        self.environment["node"] |= {
            "PARIS_NODE_HUB_ENDPOINT": self.front.url,
            "PARIS_NODE_HUB_TOKEN_ENDPOINT": self.front.url,
            "PARIS_NODE_NICE": "0",
        }
        self.start_again("coordinator")
        wait_until((self.run / "run.json").is_file, DEADLINE_S, "run.json")
        self.start_again("node")

    def start_again(self, role: str) -> None:
        """Start "coordinator" or "node", as the person does whose program ended."""
        number = f"-{len(self.sessions[role])}"
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment[role].items():
                patch.setenv(name, value)
            if role == "node":
                self.sessions[role].append(join(self.run, self._process, "ada", "--once", session=number))
            else:
                self._process(f"coordinator{number}", "paris-coord", "serve", str(self.run), "--json")

    def _process(self, name: str, *arguments: str) -> Process:
        process = Process(self.folder, name, *arguments)
        if name.startswith("coordinator"):
            self.sessions["coordinator"].append(process)
        return process

    def of(self, role: str) -> Process:
        """The program that runs now."""
        return self.sessions[role][-1]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Of all sessions of the volunteer's node."""
        return [event for session in self.sessions["node"] for event in session.events]

    def reached(self) -> int:
        """The latest moment of the run; -1 before the lease. A node that ended has reached the last."""
        if self.of("node").popen.poll() is not None:
            return ENDED
        return max(map(_moment, self.events), default=-1)

    def wait_for(self, moment: int) -> None:
        """Until the run has reached a moment."""
        wait_until(lambda: self.reached() >= moment, RUN_S, f"moment {moment} of the run")

    def last(self, shortest_s: float, longest_s: float) -> float:
        """Let a fault last, seconds; how many."""
        length_s = self.random.uniform(shortest_s, longest_s)
        threading.Event().wait(length_s)
        return length_s

    def remember(self) -> None:
        """Note what runs now, since a process that lost its parent is not found later."""
        for sessions in self.sessions.values():
            for process in sessions:
                self.seen.update(process.tree())

    def child(self, role: str, word: str) -> psutil.Process | None:
        """A process below "coordinator" or "node" whose command line has a word; None: there is none."""
        self.remember()
        for process in self.of(role).tree():
            if word in _command_line(process):
                return process
        return None

    def wait_end(self) -> None:
        """Until the node ended by itself and the coordinator has registered the expert."""
        wait_until(lambda: self.of("node").popen.poll() is not None, RUN_S, "the node ends by itself")
        wait_until(lambda: self._said("registered"), DEADLINE_S, "the expert is registered")

    def _said(self, kind: str) -> bool:
        return any(process.event(kind) for process in self.sessions["coordinator"])

    def close(self) -> list[str]:
        """End what runs; the command lines of processes that outlive it."""
        self.remember()
        stuck: list[str] = []
        for process in (self.of(role) for role in ("node", "coordinator") if self.sessions[role]):
            try:
                process.stop()
            except subprocess.TimeoutExpired:
                process.kill()
                stuck.append(f"did not end on SIGTERM: {process.popen.args}")
        self.front.__exit__()
        left = list(self.seen)
        try:
            wait_until(lambda: all_gone(left), DEADLINE_S, "no process is left")
        except AssertionError:
            stuck += [_command_line(process) for process in left if not all_gone([process])]
        return stuck


def set_shift(file: Path, seconds: int) -> None:
    """Set a program's clock that many seconds ahead."""
    write_whole(file, str(seconds).encode())


def _moment(event: dict[str, Any]) -> int:
    if event["event"] == "snapshot":
        return READY + int(event["step"]) // SNAPSHOT_EVERY
    return _MOMENTS.get(event["event"], -1)


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join([process.exe(), *process.cmdline()])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""
