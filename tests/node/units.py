"""A unit as a lease makes it."""

from __future__ import annotations

import time

from paris.node.machine.unit import Unit
from paris.protocol.records import Lease, Task

RUN = "tiny-0123456789abcdef"


def make_unit(task_id: str = "expert-0", attempt: int = 1, **fields) -> Unit:
    task = Task(
        task_id=task_id,
        cluster=0,
        steps=10,
        batch_size=4,
        manifest_sha256="0" * 64,
        data_bytes=100,
        min_memory_bytes=0,
        min_disk_bytes=0,
        deadline_s=60.0,
        grace_s=60.0,
        state="leased",
        attempt=attempt,
    )
    lease = Lease(
        lease_id=f"{attempt:032x}",
        task_id=task_id,
        attempt=attempt,
        volunteer="a" * 64,
        granted_at=1.0,
        expires_at=2.0,
    )
    return Unit(run_id=RUN, task=task, lease=lease, history=(("leased", time.time()),), **fields)
