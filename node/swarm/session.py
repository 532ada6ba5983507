"""One volunteer in one run: the run's description, the DHT, and the records that this node signs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways.ways import Ways
from paris.protocol.envelope import Envelope
from paris.protocol.invites import HeldInvite
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.run_records import RunSpec
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
    work: str | None = None
    """Proof of work of this node's key, if the run asks for one."""
    invite: HeldInvite | None = None
    """The organiser's, if the volunteer has one."""

    @property
    def run_id(self) -> str:
        """The run."""
        return self.run.run_id

    @property
    def spec(self) -> RunSpec:
        """The run's description."""
        return self.run.payload

    @property
    def ways(self) -> Ways:
        """Between this node and the coordinator."""
        return self.announcer.ways

    @property
    def public_key(self) -> str:
        """The volunteer, 64 hex digits."""
        return self.sealer.public_key

    @property
    def shown_invite(self) -> HeldInvite | None:
        """The invite for a want; None where there is none, or it ends within the life of the want."""
        if self.invite is None or self.invite.envelope.expires_at < time.time() + RECORD_RULES["want"].max_life_s:
            return None
        return self.invite

    @property
    def poll_s(self) -> float:
        """Seconds between two reads of the coordinator's records."""
        return min(self.ways.look_s, max(0.5, self.spec.heartbeat_every_s))
