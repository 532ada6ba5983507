"""What the coordinator costs by number of volunteers N and experts K: `python -m benchmarks.control_plane`.

A made run at the default periods: a step in five seconds, a want a minute of each volunteer, a heartbeat a minute of
each at work, and legs handed in, verified and stored as often as they last. Each part of a step is the real one: a peer
of the DHT that stores and reads signed records, `tick`, the state on disk, the records to publish. Not in it: the
network, and what verification costs.

Each N and K is measured in a process of its own, over five minutes of service after one. `--out` names the result,
`--only N K` prints one point. Writes benchmarks/results/control_plane.json and docs/pictures/control_plane.png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.control_plane_plot import draw
from benchmarks.control_plane_world import LEG_S, World, head_of, verdict_of
from benchmarks.record import as_table, write_result
from paris.coordinator.decisions.legs import head_commitment
from paris.coordinator.decisions.observations import LegStored, Observation, Verified
from paris.coordinator.decisions.tick import tick
from paris.coordinator.model_repo.keeping import ModelRepo
from paris.coordinator.page.reading import RunReader
from paris.coordinator.run.create import create_run
from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.swarm import DhtWay, SupervisedPeer
from paris.coordinator.service.ways import Ways
from paris.coordinator.state.model import LeaseState, State
from paris.coordinator.state.store import SEEN_BEATS, Store
from paris.protocol.dht.peer import Peer
from paris.protocol.manifest import Manifest
from paris.protocol.run_records import RunSpec, Shard
from paris.protocol.sealer import Sealer

_VOLUNTEERS, _EXPERTS = (10, 100, 1_000, 3_000, 10_000, 30_000), (8, 64, 256, 1_024)
_USUAL_VOLUNTEERS, _USUAL_EXPERTS = 10_000, 256
_STEP_S, _PERIOD, _STEPS = 5.0, 12, 60
"""Duration of a step; steps in which each volunteer sends a want; steps that are measured: so long until each record of
the coordinator is published again."""
_SHARDS = 8
_RECORDS_A_CALL = 1_000
_MONTH_S = 30 * 86400.0
_PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "control_plane.png"


class _Costs:
    """Processor time by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Add what is spent inside."""
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[part] += time.process_time() - began


class _Coordinator:
    """The parts of `Service`, step by step, on a made run."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.state = world, world.state
        self.now = world.now
        self.store = Store(folder / "state.sqlite", seen_every_s=SEEN_BEATS * world.policy.heartbeat_every_s)
        self.store.save(State(), self.state, [], self.now)
        self.peer = SupervisedPeer(
            lambda: Peer.start(run_id=world.run_id, coordinator=world.coordinator.public_key), lambda event: None
        )
        spec, manifests = _spec(world), [_manifest(k) for k in range(world.num_experts)]
        publisher = Publisher(Sealer(world.coordinator, world.run_id), self._clock)
        way = DhtWay(spec, self.peer, publisher, self._clock)
        self.ways = Ways(spec, manifests, [way])
        self._model_repo = ModelRepo(create_run(folder / "run", recipe="emoji", name="control-plane"), None)  # type: ignore[arg-type]  # no Hub is asked
        self._number, self._debt = 0, 0.0
        self._judged: list[LeaseState] = []

    def _clock(self) -> float:
        return self.now

    def step(self, costs: _Costs) -> int:
        """One step; bytes that the state's database wrote."""
        self.now += _STEP_S
        self._number += 1
        records = [*self.world.wants(self._number % _PERIOD, _PERIOD, self.state)]
        records += self.world.heartbeats(self._number % _PERIOD, _PERIOD, self.state, self.now)
        done, self._judged = self._judged, []
        for held in self._ending():
            records.append(self.world.submission(held))
            self._judged.append(held)
        with costs.of("taking records in"):
            for start in range(0, len(records), _RECORDS_A_CALL):
                self.peer.current.publish_many(records[start : start + _RECORDS_A_CALL], 16, timeout_s=600)
        with costs.of("reading records"):
            observations: list[Observation] = list(self.ways.observations())
        observations += [self._verified(held) for held in self._judged]
        observations += [LegStored(held.lease.lease_id, head_of(held.lease)) for held in done]
        with costs.of("tick"):
            decision = tick(self.state, observations, self.world.policy, self.now)
        before = _written()
        with costs.of("saving"):
            self.store.save(self.state, decision.state, decision.events, self.now)
        written = _written() - before
        self.state = decision.state
        with costs.of("publishing"):
            self.ways.publish(self.state)
        with costs.of("showing"):
            self._model_repo.shows(self.state)
        return written

    def _ending(self) -> list[LeaseState]:
        """The leases whose work is handed in now: as many as end in a step."""
        working = self.world.working(self.state)
        self._debt += len(working) * _STEP_S / LEG_S
        number = int(self._debt)
        self._debt -= number
        return working[:number]

    def _verified(self, held: LeaseState) -> Verified:
        return Verified(verdict_of(held.lease), head_commitment(self.state.tasks[held.lease.task_id].task))

    def stop(self) -> None:
        self.peer.stop()
        self.store.close()


def measure(num_volunteers: int, num_experts: int, num_legs: int) -> dict[str, Any]:
    """Measure five minutes of service, after one.

    Args:
        num_volunteers: N.
        num_experts: K.
        num_legs: Verified legs of each task before.
    """
    world, costs = World(num_volunteers, num_experts, num_legs, time.time()), _Costs()
    with tempfile.TemporaryDirectory() as name:
        coordinator = _Coordinator(world, Path(name))
        try:
            for _ in range(_PERIOD):
                coordinator.step(_Costs())
            began_bytes = _file_bytes(coordinator.store, Path(name))
            written = sum(coordinator.step(costs) for _ in range(_STEPS))
            grown = _file_bytes(coordinator.store, Path(name)) - began_bytes
            rss = psutil.Process().memory_info().rss
            with costs.of("page"):
                RunReader(Path(name) / "state.sqlite").snapshot()
        finally:
            coordinator.stop()
    page_s = costs.seconds.pop("page")
    service_s = _STEPS * _STEP_S
    return {
        "volunteers": num_volunteers,
        "at_work": len(world.working(coordinator.state)),
        "experts": num_experts,
        "lanes": world.lanes,
        "legs_before": num_legs,
        "parts_s_a_step": {part: round(seconds / _STEPS, 5) for part, seconds in costs.seconds.items()},
        "cpu_s_an_hour": round(sum(costs.seconds.values()) * 3600 / service_s, 2),
        "share_of_a_core": round(sum(costs.seconds.values()) / service_s, 4),
        "page_first_s": round(page_s, 3),
        "rss_mib": round(rss / 2**20),
        "database_mib": round(began_bytes / 2**20, 1),
        "written_gib_a_month": round(written * _MONTH_S / service_s / 2**30, 1),
        "grown_gib_a_month": round(grown * _MONTH_S / service_s / 2**30, 1),
    }


def _spec(world: World) -> RunSpec:
    return RunSpec(
        name="control-plane",
        num_experts=world.num_experts,
        num_buckets=16,
        hub_endpoint="http://127.0.0.1:1",
        data_repo="org/data",
        model_repo="org/model",
        seed=0,
        model={"preset": "dit-b-2"},
        training={"batch_size": 64},
        text={"kind": "none"},
        codec={"kind": "pixels"},
        heartbeat_every_s=60.0,
        lease_s=3600.0,
        licence="cc-by-4.0",
        leg_steps=1000,
    )


def _manifest(cluster: int) -> Manifest:
    shards = tuple(
        Shard(
            path=f"cluster-{cluster:03d}/shard-{number:05d}.parquet", sha256=f"{number:064x}", bytes=10**8, rows=10**4
        )
        for number in range(_SHARDS)
    )
    return Manifest(cluster, "org/data", "0" * 40, shards)


def _written() -> int:
    """Bytes that this process handed to the system to write."""
    return int(psutil.Process().io_counters().write_chars)


def _file_bytes(store: Store, folder: Path) -> int:
    """Size of the compacted database."""
    store.compact()
    return (folder / "state.sqlite").stat().st_size


def main() -> int:
    """Measure all points, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs=2, type=int, metavar=("N", "K"), help="print one point as JSON")
    parser.add_argument("--legs", type=int, default=10, help="verified legs of each task before")
    parser.add_argument("--most", type=int, default=max(_VOLUNTEERS), help="largest N")
    parser.add_argument("--out", type=Path, help="the result; no picture is drawn then")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(*options.only, options.legs)))
        return 0
    points = [(number, _USUAL_EXPERTS) for number in _VOLUNTEERS if number <= options.most]
    usual = min(options.most, _USUAL_VOLUNTEERS)
    points += [(usual, number) for number in _EXPERTS if number != _USUAL_EXPERTS]
    rows = []
    for point in points:
        rows.append(_in_a_process(*point, options.legs))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    write_result("control_plane", rows, out=options.out, step_s=_STEP_S, legs_before=options.legs)
    if options.out is None:
        draw(rows, _PICTURE)
    cells = [
        [str(row[name]) for name in ("volunteers", "experts", "at_work", "share_of_a_core", "rss_mib")] for row in rows
    ]
    print(as_table(("N", "K", "at work", "share of a core", "RSS, MiB"), cells))
    return 0


def _in_a_process(num_volunteers: int, num_experts: int, num_legs: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.control_plane", "--only", str(num_volunteers), str(num_experts)]
    done = subprocess.run([*command, "--legs", str(num_legs)], stdout=subprocess.PIPE, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


if __name__ == "__main__":
    raise SystemExit(main())
