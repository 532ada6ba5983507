"""What every part of a running agent shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.hub.client import Hub
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware
from paris.node.machine.home import Home
from paris.node.retry import Backoff, StopSignal
from paris.node.sharing.sharing import Sharing
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm
from paris.node.view import View
from paris.protocol.envelope import Envelope
from paris.protocol.records import RunSpec, Want
from paris.protocol.sealer import Sealer
from paris.protocol.version import SOFTWARE_VERSION


@dataclass(frozen=True)
class Node:
    """One volunteer's node in one run: made once by `joining.py`, handed to the loop and its stages."""

    home: Home
    config: NodeConfig
    sealer: Sealer
    name: str
    hardware: Hardware
    run: Envelope[RunSpec]
    hub: Hub
    cache: Cache
    swarm: Swarm
    announcer: Announcer
    view: View
    stop: StopSignal
    download: Bandwidth
    sharing: Sharing | None
    """None where the volunteer does not share."""
    backoff: Backoff = field(default_factory=Backoff)
    upload_backoff: Backoff = field(default_factory=lambda: Backoff(first_s=1.0, cap_s=60.0))

    @property
    def spec(self) -> RunSpec:
        """The run's description."""
        return self.run.payload

    @property
    def poll_s(self) -> float:
        """Seconds between two looks at the coordinator's records."""
        return min(5.0, max(0.5, self.spec.heartbeat_every_s))

    def want(self, state: str) -> Want:
        """What this node is and can take.

        Args:
            state: "waiting", "busy", "paused" or "leaving".
        """
        return Want.model_validate(
            {
                "name": self.name,
                "device": f"{self.hardware.device}: {self.hardware.label}"[:80],
                "memory_bytes": self.hardware.memory_bytes,
                "disk_bytes": self.hardware.disk_bytes,
                "state": state,
                "node_version": SOFTWARE_VERSION,
            }
        )
