"""A coordinator's desk behind the real `tick`, and nodes whose requests reach it without a network, in made-up time."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

from tick_world import POLICY, run_of

from paris.coordinator.decisions.tick import tick
from paris.coordinator.service.line import LineDesk
from paris.coordinator.service.ways import Ways
from paris.node.retry import Backoff
from paris.node.swarm.ways.line import LineWay
from paris.protocol.envelope import Envelope
from paris.protocol.errors import PeerError
from paris.protocol.line import Taken
from paris.protocol.run_records import RunSpec
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Heartbeat, Lease, Want

PEER = "12D3KooWDD9CfZNQaVRiD8YEV53FBrdHiNVGSSkVNVmx9m2M9p1T"
ADDRESS = f"/ip4/203.0.113.7/tcp/31337/p2p/{PEER}"
OTHER_ADDRESS = ADDRESS.replace("31337", "31338")


class LineWorld:
    """One run.

    Args:
        num_tasks: Of experts, all open.
        identity: The coordinator's; None: a new one.
        silent_after_s: See `LineDesk`.
        every_s: See `LineDesk`; 0: each record that causes something wakes the loop.
        fields: Of the run's description.
    """

    def __init__(
        self,
        num_tasks: int = 1,
        identity: Identity | None = None,
        silent_after_s: float = math.inf,
        every_s: float = 0.0,
        **fields: object,
    ) -> None:
        self.now = time.time()
        self.identity = identity or Identity.generate()
        self.run_id = make_run_id("lined", self.identity.public_key)
        self.spec = RunSpec.model_validate(
            {
                "name": "lined",
                "num_experts": num_tasks,
                "hub_endpoint": "http://127.0.0.1:1",
                "data_repo": "a/data",
                "model_repo": "a/model",
                "initial_peers": (ADDRESS,),
                "seed": 1,
                "model": {},
                "training": {},
                "text": {},
                "codec": {},
                "heartbeat_every_s": 60.0,
                "lease_s": 3600.0,
                "licence": "CC0-1.0",
            }
            | fields
        )
        self.sealer = Sealer(self.identity, self.run_id, self.sealing_clock)
        self.wake = threading.Event()
        clocks = self.clock, self.clock
        self.desk = LineDesk(self.run_id, self.spec, self.sealer, self.wake, *clocks, silent_after_s, every_s)
        self.ways = Ways(self.spec, [], [self.desk], self.wake, self.clock)
        self.policy = POLICY.model_copy(update={"lease_s": 3600.0, "heartbeat_every_s": 60.0, "want_life_s": 240.0})
        self.state = run_of(num_tasks)
        self.num_steps = 0
        self.step()

    def clock(self) -> float:
        return self.now

    def sealing_clock(self) -> float:
        """No two records are sealed at the same time."""
        self.now += 0.001
        return self.now

    def step(self) -> None:
        """What the loop does, with a store that never fails."""
        seen = [*self.ways.observations(), *self.ways.audits()]
        self.state = tick(self.state, seen, self.policy, self.now).state
        self.ways.publish(self.state)
        self.num_steps += 1

    def revoke(self, lease_id: str) -> None:
        """Take a lease back, as an order of the organiser does."""
        self.state = replace(
            self.state, leases={**self.state.leases, lease_id: self.state.leases[lease_id].revoked("too late.")}
        )
        self.ways.publish(self.state)

    def node(self, identity: Identity | None = None) -> LineNode:
        return LineNode(self, identity or Identity.generate())


class LineNode:
    """A volunteer's end of the line. It stands where the node's connection is, and carries requests itself."""

    def __init__(self, world: LineWorld, identity: Identity) -> None:
        self.world, self.sealer = world, Sealer(identity, world.run_id, world.sealing_clock)
        self.me = identity.public_key
        self.initial_peers: tuple[str, ...] = (ADDRESS,)
        self.is_cut, self.num_requests, self.num_bytes, self.num_records = False, 0, 0, 0
        run = world.sealer.seal(world.spec, 900.0)
        self.way = LineWay(self, self.sealer, run, world.clock, world.clock, Backoff(first_s=5.0, cap_s=300.0))

    def follow(self, run: Envelope[RunSpec]) -> None:
        self.initial_peers = run.payload.initial_peers

    def ask_line(self, address: str, request: bytes, *, timeout_s: float) -> bytes:
        self.num_requests += 1
        if self.is_cut or address != ADDRESS:
            raise PeerError(f"{address} does not answer.")
        taken = self.world.desk.take(request, to=PEER, peer=self.me)
        if taken is None:
            raise PeerError("closed without a reply")
        if not taken.reply.done():
            assert self.world.wake.is_set(), "nobody waits for a step that nothing asks for"
            self.world.step()
        reply = reply_of(taken)
        self.num_bytes += len(request) + len(reply)
        return reply

    def want(self, state: str = "waiting", **fields: object) -> Envelope[Want]:
        return make_want(self.sealer, state, **fields)

    def beat(self, step: int = 1, state: str = "training") -> Envelope[Heartbeat]:
        """A heartbeat under this node's lease, as it was told over the line."""
        (lease,) = (envelope for envelope in self.way.read("lease") if envelope.payload.state == "granted")
        return make_beat(self.sealer, lease, step, state)


def make_want(sealer: Sealer, state: str = "waiting", **fields: object) -> Envelope[Want]:
    machine = {"name": "ada", "device": "cpu", "memory_bytes": 10**9, "disk_bytes": 10**9, "node_version": "0.1.0"}
    return sealer.seal(Want.model_validate({**machine, "state": state, "audits": True, **fields}), 240.0)


def make_beat(sealer: Sealer, lease: Envelope[Lease], step: int, state: str = "training") -> Envelope[Heartbeat]:
    ids = lease.payload.model_dump(include={"lease_id", "task_id", "attempt"})
    progress = {"step": step, "loss": 0.5, "steps_per_s": 2.0, "commitment": "0" * 64, "commitment_step": step}
    return sealer.seal(Heartbeat(**ids, **progress, state=state, lease=lease.data.decode()), 240.0)


def reply_of(taken: Taken) -> bytes:
    return taken.reply.result(timeout=0)
