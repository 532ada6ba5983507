"""A stranger with a key of its own: writes raw records to the run's peers, and uses its Hub like any client."""

from __future__ import annotations

import atexit
import functools
import hashlib
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deadlines import DEADLINE_S
from hivemind.utils.serializer import MSGPackSerializer
from huggingface_hub import HfApi
from protocol_swarm import Rogue

from paris.node.join.resolve import open_run
from paris.protocol.dht.peer import Peer
from paris.protocol.envelope import Envelope, seal
from paris.protocol.keys import dht_key, part_of, subkey_of
from paris.protocol.payload import Payload
from paris.protocol.run_records import RunSpec
from paris.protocol.signing import Identity
from paris.protocol.validator import Accepted, RecordJudge
from paris.protocol.work_records import Want

Raw = tuple[str, str | None, Any, float]
"""Key, subkey, value and expiry, as a peer is asked to store them."""


@functools.cache
def rogue_among(initial_peers: tuple[str, ...]) -> Rogue:
    """One peer without a validator for all attacks of this process."""
    rogue = Rogue(list(initial_peers))
    atexit.register(rogue.stop)
    return rogue


@dataclass
class Outcome:
    """How an attack on a run ended."""

    refused_by: str
    """Who stopped it and why, as "peers/no-lease"; empty: nobody did."""
    figure: float = 0.0
    """How much of it got through."""
    bound: float = 0.0
    """How much may."""


@dataclass
class Mallory:
    """The attacker of one run.

    Args:
        run_json: What the organiser publishes.
    """

    run_json: Path
    identity: Identity = field(default_factory=Identity.generate)

    def __post_init__(self) -> None:
        published: Envelope[RunSpec] = open_run(self.run_json.read_bytes(), None)
        self.spec, self.run_id, self.coordinator = published.payload, published.run_id, published.signer
        self.published = published

    def sealed(self, payload: Payload, identity: Identity | None = None, **changes: Any) -> Envelope[Any]:
        """Sign a record; valid for a minute by default."""
        now = time.time()
        fields = {"run_id": self.run_id, "sequence": int(now * 1e6), "issued_at": now, "expires_at": now + 60}
        return seal(payload, identity or self.identity, **{**fields, **changes})

    def want(self, **changes: Any) -> Want:
        """An honest-looking request for work."""
        fields = {"name": "mallory", "device": "cpu", "memory_bytes": 2**34, "disk_bytes": 2**36, "state": "waiting"}
        return Want(**{**fields, "node_version": "0.1.0", **changes})

    def raw(self, envelope: Envelope[Any], **changes: Any) -> Raw:
        """Where a record belongs, or somewhere else."""
        part = part_of(envelope.payload, envelope.signer, self.spec.num_buckets)
        place = {
            "key": dht_key(self.run_id, envelope.kind, part),
            "subkey": subkey_of(envelope.payload, envelope.signer),
            "value": envelope.data,
            "expires_at": envelope.expires_at,
        }
        return tuple({**place, **changes}.values())

    def send(self, records: list[Raw], allowed: int = 0) -> Outcome:
        """Ask the coordinator's peer to store records, without any check of our own."""
        judge = RecordJudge(self.run_id, self.coordinator, time.time)
        judge.judge(*self.raw(self.published))  # says how many buckets there are
        rogue = rogue_among(self.spec.initial_peers)
        target = SimpleNamespace(peer_id=self.spec.initial_peers[0].rpartition("/p2p/")[2])
        stored, reason = 0, ""
        for key, subkey, value, expires_at in records:
            answer = rogue.send(target, key, MSGPackSerializer.dumps(value), expires_at, subkey)
            stored += sum(map(bool, answer or []))
            verdict = judge.judge(key, subkey, value, expires_at)
            reason = reason if isinstance(verdict, Accepted) else str(verdict.reason)
        refused_by = f"peers/{reason or 'full'}" if stored <= allowed else ""
        return Outcome(refused_by, stored, allowed)

    def peer(self) -> Peer:
        """An ordinary peer of the run, as a node has it."""
        return Peer.start(
            run_id=self.run_id,
            coordinator=self.coordinator,
            initial_peers=list(self.spec.initial_peers),
            client_mode=True,
        )

    def hub(self, name: str = "mallory") -> HfApi:
        """A client with a token that this stranger made up."""
        made_up = hashlib.sha256(f"{name} {self.identity.public_key}".encode()).hexdigest()
        return HfApi(endpoint=self.spec.hub_endpoint, token=f"volunteer-{made_up[:24]}")

    def wait_for(self, look: Any, what: str) -> Any:
        """Look until something is there."""
        deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
        while time.monotonic() < deadline:
            if found := look():
                return found
            pause.wait(0.3)
        raise TimeoutError(f"{what}: not within {DEADLINE_S:.0f} s")
