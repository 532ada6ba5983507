"""One volunteer of benchmarks/fetch.py: everything that `paris-node join` does until the data is here, but no training.

    python -m benchmarks.fetch_volunteer RUN.json HOME

Prints {"ready": true} when it holds a lease, fetches when it reads a line, prints what came and from where, and serves
until its input closes.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from paris.node.agent import Agent
from paris.node.joining import Request, running_node
from paris.node.retry import StopSignal
from paris.node.training_stage import accept, start_fetch
from paris.node.work import UnitWork

_LEASE_TIMEOUT_S = 300.0


class _Fetched:
    """A view that waits for one event."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.is_there = threading.Event()

    def event(self, name: str, /, **fields: Any) -> None:
        if name == "fetched":
            self.fields = fields
            self.is_there.set()

    def close(self) -> None:
        pass


def main() -> int:
    """Join, wait for the word, fetch, serve."""
    run, home = sys.argv[1], Path(sys.argv[2])
    view = _Fetched()
    with running_node(Request(run, home, None, {}), view, StopSignal()) as node:
        found = Agent(node).wait_for_lease(_LEASE_TIMEOUT_S)
        if found is None:
            return 1
        work = UnitWork(node, *found)
        accept(work)
        print(json.dumps({"ready": True}), flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        start_fetch(work).wait_first(work.check)
        first_s = time.monotonic() - began
        while not view.is_there.wait(0.05):
            work.check()
        print(json.dumps({"first_s": first_s, "all_s": time.monotonic() - began, **view.fields}), flush=True)
        sys.stdin.read()
        work.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
