"""Some volunteers of benchmarks/real_swarm.py in one process: real nodes with peers of their own, which do not train.

    python -m benchmarks.real_swarm_peers RUN.json FOLDER FIRST COUNT SECONDS

Each joins as `paris-node join` does, asks for a task, and reports every period once it has one. Prints a line of JSON
for each lease and each heartbeat, and one with the traffic of each node at the end.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from paris.node.errors import StoppedError
from paris.node.join.joining import Request, running_agent
from paris.node.machine.unit import Unit
from paris.node.retry import StopSignal
from paris.node.view import EventKind
from paris.node.work.agent import Agent
from paris.protocol.errors import ParisError
from paris.protocol.work_records import Heartbeat

_FLAGS = {"device": "cpu", "threads": 1, "share_shards": False, "early_trainer": False}
_SPREAD_S = 0.5
"""Nodes of a process start so far apart: all at once no real swarm starts."""
_printing = threading.Lock()


class _Silent:
    """A view that shows nothing."""

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        pass

    def close(self) -> None:
        pass


def _tell(**fields: Any) -> None:
    with _printing:
        print(json.dumps(fields), flush=True)


def live(run: str, home: Path, end: float) -> None:
    """Be one volunteer until the end.

    Args:
        run: Path of run.json.
        home: Of its identity and units.
        end: On the monotonic clock.
    """
    stop = StopSignal()
    timer = threading.Timer(max(0.0, end - time.monotonic()), stop.set)
    timer.daemon = True
    timer.start()
    try:
        with running_agent(Request(run, home, None, _FLAGS), _Silent(), stop) as agent:
            _work(agent, stop, home.name)
    except StoppedError:
        pass
    except ParisError as error:
        _tell(what="error", node=home.name, error=type(error).__name__, text=str(error))


def _work(agent: Agent, stop: StopSignal, name: str) -> None:
    began, passed_s, leased = time.monotonic(), 0.0, None
    try:
        leased = agent.wait_for_lease(None)
        if leased is not None:
            passed_s = time.monotonic() - began
            _tell(what="lease", node=name, task=leased[1].task.task_id, after_s=passed_s)
            _report(agent, stop, leased[1])
    finally:
        traffic = agent.session.swarm.traffic()
        _tell(
            what="traffic",
            node=name,
            has_lease=leased is not None,
            sent=traffic.bytes_sent,
            received=traffic.bytes_received,
            seconds=time.monotonic() - began,
        )


def _report(agent: Agent, stop: StopSignal, unit: Unit) -> None:
    """A heartbeat every period, each with a step of its own, so that the coordinator's state shows which one came.

    In between it reads its lease as often as a node in training does.
    """
    session, step, due = agent.session, 0, time.monotonic()
    session.announcer.publish(agent._want("busy"))
    while not stop.is_set:
        session.ways.read("lease")
        stop.pause(session.poll_s)
        if time.monotonic() < due:
            continue
        step, due = step + 1, due + session.spec.heartbeat_every_s
        beat = Heartbeat(
            lease_id=unit.lease.lease_id,
            task_id=unit.lease.task_id,
            attempt=unit.lease.attempt,
            state="training",
            step=step,
            loss=1.0,
            steps_per_s=1.0,
        )
        _tell(what="heartbeat", lease=unit.lease.lease_id, step=step, at=time.time())
        session.announcer.publish(beat)


def main() -> int:
    """Start the nodes, wait for the end."""
    run, folder, first, count, seconds = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=live, args=(run, folder / f"node-{number}", end))
        for number in range(first, first + count)
    ]
    for thread in threads:
        thread.start()
        time.sleep(_SPREAD_S)
    for thread in threads:
        thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
