"""A volunteer of benchmarks/fetch.py: `paris-node join` up to the fetched data, without training.

    python -m benchmarks.fetch_volunteer RUN.json HOME ROWS_PER_S

Prints {"ready": true} when it has a lease, starts fetching when it reads a line, prints the bytes by source, and serves
until its input closes. A simulated trainer consumes rows at a fixed rate and waits for missing shards.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from paris.node.join.joining import running_agent
from paris.node.join.request import Request
from paris.node.retry import StopSignal
from paris.node.view import EventKind
from paris.node.work.agent import Agent
from paris.node.work.data import in_order
from paris.node.work.unit_work import UnitWork

_LEASE_TIMEOUT_S = 300.0
_LOOK_S = 0.05


class _Fetched:
    """A view that waits for one event."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.is_there = threading.Event()

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        if kind is EventKind.FETCHED:
            self.fields = fields
            self.is_there.set()

    def close(self) -> None:
        pass


class _Walker:
    """In place of the trainer: goes through the rows of the first epoch at a pace.

    Args:
        agent: Gives the run and the cache.
        work: The unit; its fetch learns how far the walk is.
        rows_per_s: The pace.
    """

    def __init__(self, agent: Agent, work: UnitWork, rows_per_s: float) -> None:
        spec = agent.session.spec
        shards, _ = in_order(spec, work.unit)
        size = int(spec.training["window_shards"])
        self._cache = agent.data.cache
        self._windows = [shards[i : i + size] for i in range(0, len(shards), size)]
        self._work, self._rows_per_s = work, rows_per_s
        self._window, self._rows, self._rows_before = 0, 0.0, 0
        self._began = self._last = time.monotonic()
        self.first_step_s: float | None = None
        self.stalled_s = 0.0

    def walk(self) -> None:
        """Go on by the time that has passed."""
        now = time.monotonic()
        passed_s, self._last = now - self._last, now
        if self._window == len(self._windows):
            return
        shards = self._windows[self._window]
        if not all(self._cache.file(shard.sha256).exists() for shard in shards):
            self.stalled_s += passed_s if self.first_step_s is not None else 0.0
            return
        if self.first_step_s is None:
            self.first_step_s = now - self._began
        self._rows += passed_s * self._rows_per_s
        in_window = sum(shard.rows for shard in shards)
        if self._rows >= in_window:
            self._window, self._rows, self._rows_before = self._window + 1, 0.0, self._rows_before + in_window
        if self._work.fetch is not None:
            self._work.fetch.urgency.step = int(self._rows_before + self._rows) // self._work.unit.task.batch_size


def main() -> int:
    """Join, wait for the start line, fetch, serve."""
    run, home, rows_per_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    view = _Fetched()
    with running_agent(Request(run, home, None, {}), view, StopSignal()) as agent:
        leased = agent.wait_for_lease(_LEASE_TIMEOUT_S)
        if leased is None:
            return 1
        work = agent.unit_work(*leased)
        work.accept()
        print(json.dumps({"ready": True}), flush=True)
        sys.stdin.readline()
        walker = _Walker(agent, work, rows_per_s)
        began = time.monotonic()
        work.start_fetch()
        while not view.is_there.wait(_LOOK_S):
            walker.walk()
            work.check()
        walker.walk()
        all_s = time.monotonic() - began
        figures = {"first_step_s": walker.first_step_s, "stalled_s": walker.stalled_s, "all_s": all_s}
        print(json.dumps({**figures, **view.fields}), flush=True)
        sys.stdin.read()
        work.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
