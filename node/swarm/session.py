"""One volunteer in one run: the run's description, the DHT, and the records that this node signs."""

from __future__ import annotations

from dataclasses import dataclass

from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.protocol.envelope import Envelope
from paris.protocol.records import RunSpec
from paris.protocol.sealer import Sealer


@dataclass(frozen=True)
class RunSession:
    """From join to leave."""

    run: Envelope[RunSpec]
    name: str
    """The volunteer's, shown beside the contributions."""
    sealer: Sealer
    swarm: Swarm
    announcer: Announcer

    @property
    def run_id(self) -> str:
        """The run."""
        return self.run.run_id

    @property
    def spec(self) -> RunSpec:
        """The run's description."""
        return self.run.payload

    @property
    def public_key(self) -> str:
        """The volunteer, 64 hex digits."""
        return self.sealer.public_key

    @property
    def poll_s(self) -> float:
        """Seconds between two reads of the coordinator's records."""
        return min(5.0, max(0.5, self.spec.heartbeat_every_s))
