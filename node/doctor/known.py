"""What was asked for, and what earlier looks found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paris.node.join.resolve import Address
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware
from paris.node.machine.home import Home
from paris.protocol.envelope import Envelope
from paris.protocol.run_peer import RunPeer
from paris.protocol.run_records import RunSpec, Task


@dataclass
class Known:
    """Filled in by the looks, in their order; None: not found out."""

    run: str | None
    """RUN as typed; None: the machine alone."""
    home: Home
    run_id: str | None
    """From `--run`."""
    flags: Mapping[str, Any]
    """Settings of the command line; None means not given."""
    config: NodeConfig = field(default_factory=lambda: NodeConfig.model_validate({}))
    """The defaults until, and unless, the volunteer's could be read."""
    is_running: bool = False
    """Whether a node runs in this home."""
    hardware: Hardware | None = None
    address: Address | None = None
    spec: Envelope[RunSpec] | None = None
    """The newest description of the run."""
    peer: RunPeer | None = None
    """This command's own peer; the caller of the looks stops it."""
    tasks: list[Task] = field(default_factory=list)
    """Of the run, as its peers hold them."""
    candidate: tuple[Task | None, int] | None = None
    """A task that fits into this machine, and in which size; without a task, the size alone."""
    clock_is_refused: bool = False
    """Whether a peer of the run refused this machine's clock."""
    num_peers_that_answer: int = 0

    @property
    def open_tasks(self) -> list[Task]:
        """Those that are to be leased."""
        return [task for task in self.tasks if task.state == "open"]
