"""For each record kind: its payload, its signer, its largest size and its longest life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paris.protocol.payload import Payload
from paris.protocol.run_records import Invite, ManifestPart, Registration, RunSpec, Task
from paris.protocol.summary import Summary
from paris.protocol.work_records import Answer, Audit, Challenge, Heartbeat, Holding, Lease, Submission, Verdict, Want


@dataclass(frozen=True)
class RecordRule:
    """Limits of one record kind, enforced before a peer stores or uses a record."""

    payload: type[Payload]
    signer: Literal["coordinator", "volunteer"]
    max_bytes: int
    max_life_s: float


RECORD_RULES: dict[str, RecordRule] = {
    "run": RecordRule(RunSpec, "coordinator", 4096, 7 * 86400),
    "task": RecordRule(Task, "coordinator", 4096, 86400),
    "summary": RecordRule(Summary, "coordinator", 1024, 86400),
    "manifest": RecordRule(ManifestPart, "coordinator", 4096, 7 * 86400),
    "lease": RecordRule(Lease, "coordinator", 2048, 30 * 86400),
    "challenge": RecordRule(Challenge, "coordinator", 2048, 30 * 86400),
    "verdict": RecordRule(Verdict, "coordinator", 4096, 30 * 86400),
    "registration": RecordRule(Registration, "coordinator", 2048, 30 * 86400),
    "invite": RecordRule(Invite, "coordinator", 1024, 90 * 86400),
    "want": RecordRule(Want, "volunteer", 2048, 900),
    "heartbeat": RecordRule(Heartbeat, "volunteer", 4096, 3600),
    "submission": RecordRule(Submission, "volunteer", 4096, 6 * 3600),
    "answer": RecordRule(Answer, "volunteer", 4096, 6 * 3600),
    "audit": RecordRule(Audit, "volunteer", 4096, 6 * 3600),
    "holding": RecordRule(Holding, "volunteer", 2048, 3600),
}
