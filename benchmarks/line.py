"""What the line costs a volunteer and the coordinator, by the number of experts: `python -m benchmarks.line`.

Two real peers on loopback, a proxy between them that counts every byte of their connection, encryption and framing
included. Each kind of request is repeated, and its bytes are multiplied with how often a volunteer makes it in an hour,
at a heartbeat of 60 s. Beside it what a volunteer read every 5 s before there was the line: all leases, tasks and
verdicts in the DHT. Writes benchmarks/results/line.json.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.record import as_table, write_result

TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(TESTS / "coordinator"), str(TESTS / "coordinator" / "service")]

from line_world import PEER, LineWorld, make_beat, make_want  # noqa: E402

from paris.coordinator.service.publisher import Publisher, records_to_publish  # noqa: E402
from paris.coordinator.service.swarm import DhtWay  # noqa: E402
from paris.coordinator.service.ways import Shown  # noqa: E402
from paris.node.swarm.connection import Swarm  # noqa: E402
from paris.node.swarm.ways.line import LineWay  # noqa: E402
from paris.protocol.dht.peer import Peer  # noqa: E402
from paris.protocol.line import seal_request  # noqa: E402
from paris.protocol.runid import make_run_id  # noqa: E402
from paris.protocol.sealer import Sealer  # noqa: E402
from paris.protocol.signing import Identity  # noqa: E402

_EXPERTS = (8, 64, 256)
_TRIES = 20
_REQUESTS = 500
_REST_S = 11.0
"""Between two kinds: a key may ask so often in ten seconds."""
_QUIET_S = 65.0
"""Two rounds of what peers do by themselves."""
_WAITING = {"want": 60, "ask": 150}
"""Requests an hour: a want each minute, and 20 s after the last request, on average, a question."""
_TRAINING = {"heartbeat": 60, "want": 60}
_READS = 720
_PIECE = 2**16


class CountingProxy:
    """Passes bytes on to a port of this machine, and counts them.

    Args:
        port: Where to.
    """

    def __init__(self, port: int) -> None:
        self.num_bytes, self._port = 0, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(_PIECE):
                self.num_bytes += len(piece)
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)


class LiveWorld(LineWorld):
    """A run in real time."""

    now = property(lambda self: time.time(), lambda self, value: None)  # type: ignore[assignment]


@contextlib.contextmanager
def served_world(num_experts: int) -> Iterator[tuple[LiveWorld, CountingProxy]]:
    """A coordinator's desk on a real peer, behind a proxy; all experts but one are leased."""
    identity = Identity.generate()
    run_id = make_run_id("lined", identity.public_key)
    with Peer.start(run_id=run_id, coordinator=identity.public_key) as peer:
        proxy = CountingProxy(int(peer.addresses[0].split("/")[4]))
        address = f"/ip4/127.0.0.1/tcp/{proxy.port}/p2p/{peer.peer_id}"
        world = LiveWorld(num_experts, identity, initial_peers=(address,))
        for _ in range(num_experts - 1):
            one = world.node()
            one.way.publish(one.want())
        peer.serve_line(world.desk)
        dht = DhtWay(world.spec, SimpleNamespace(current=peer), Publisher(world.sealer))  # type: ignore[arg-type]
        dht.show(Shown(records_to_publish(world.spec, [], world.state, time.time()), world.state))
        stop = threading.Event()
        steps = threading.Thread(target=_step_when_woken, args=(world, stop))
        steps.start()
        try:
            yield world, proxy
        finally:
            stop.set()
            steps.join()
            proxy.close()


def _step_when_woken(world: LiveWorld, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        if world.wake.is_set():
            world.wake.clear()
            world.step()


def measured(num_experts: int) -> dict[str, Any]:
    """One row: bytes of each kind of request, bytes an hour, and what a request costs the coordinator."""
    with served_world(num_experts) as (world, proxy):
        sealer = Sealer(Identity.generate(), world.run_id)
        address = world.spec.initial_peers[0]
        swarm = Swarm(num_buckets=1, initial_peers=(address,), start_peer=_starter(world))
        swarm.connect()
        way = LineWay(swarm, sealer, world.sealer.seal(world.spec, 900.0))

        def each(action: Callable[[], object]) -> float:
            time.sleep(_REST_S)
            action()
            before = proxy.num_bytes
            for _ in range(_TRIES):
                action()
            return (proxy.num_bytes - before) / _TRIES

        before = proxy.num_bytes
        time.sleep(_QUIET_S)
        quiet = (proxy.num_bytes - before) * 3600 / _QUIET_S
        of_each = {
            "ask": each(lambda: way._asked(None)),
            "want": each(lambda: way.publish(make_want(sealer, "paused"))),
        }
        time.sleep(_REST_S)
        began = time.monotonic()
        way.publish(make_want(sealer))
        lease_s = time.monotonic() - began
        (lease,) = (found for found in way.read("lease") or [] if found.payload.volunteer == sealer.public_key)
        of_each["heartbeat"] = each(lambda: way.publish(make_beat(sealer, lease, step=1)))
        read = each(lambda: [swarm.read(kind) for kind in ("lease", "task", "verdict")])
        swarm.close()
        return {
            "experts": num_experts,
            **{f"{name}_bytes": round(value) for name, value in of_each.items()},
            "quiet_bytes_an_hour": round(quiet),
            "waiting_bytes_an_hour": round(quiet + sum(number * of_each[name] for name, number in _WAITING.items())),
            "training_bytes_an_hour": round(quiet + sum(number * of_each[name] for name, number in _TRAINING.items())),
            "dht_reads_bytes_an_hour": round(quiet + _READS * read),
            "want_to_lease_s": round(lease_s, 2),
            "coordinator_cpu_ms_a_request": round(_cost_of_requests(world, sealer) * 1000, 2),
        }


def _starter(world: LiveWorld) -> Callable[[tuple[str, ...]], Peer]:
    return lambda addresses: Peer.start(
        run_id=world.run_id,
        coordinator=world.identity.public_key,
        initial_peers=addresses,
        client_mode=True,
    )


def _cost_of_requests(world: LiveWorld, sealer: Sealer) -> float:
    """Processor seconds of a request with a new want: signatures, judgement and reply, without the network."""
    requests = []
    for number in range(_REQUESTS):
        record = make_want(sealer, "paused").data
        fields = {"run_id": world.run_id, "to": PEER, "known": (), "at": time.time()}
        requests.append((seal_request(sealer, record=record, **fields), str(number)))
    world.desk._rates._most = _REQUESTS  # one key asks more often here than it may
    began = time.thread_time()
    for request, peer in requests:
        world.desk.take(request, to=PEER, peer=peer)
    return (time.thread_time() - began) / _REQUESTS


def main() -> int:
    """Measure, print, write."""
    rows = [measured(num_experts) for num_experts in _EXPERTS]
    write_result("line", rows, tries=_TRIES, requests=_REQUESTS)
    print(as_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
