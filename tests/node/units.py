"""A unit as a lease makes it, and a finished one."""

from __future__ import annotations

import hashlib
import time

from paris.node.machine.unit import Finished, FinishedFile, Unit, UnitFolder
from paris.protocol.run_records import Task
from paris.protocol.work_records import Lease

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


def finish(folder: UnitFolder, unit: Unit, data: bytes) -> Unit:
    """Save the unit as one whose training ended with these weights."""
    sha256 = hashlib.sha256(data).hexdigest()
    file = FinishedFile(name="expert.safetensors", path="work/expert.safetensors", sha256=sha256, bytes=len(data))
    finished = Finished(steps=10, final_loss=0.5, commitment="c" * 64, files=(file,))
    saved = folder.save(unit.model_copy(update={"state": "uploading", "finished": finished}))
    (folder.work / "expert.safetensors").write_bytes(data)
    return saved
