"""The records of a simulated run: real payloads; one envelope is sealed, and `tick` checks no signature again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from benchmarks.swarm.scheme import Setup
from paris.coordinator.decisions.observations import (
    AuditReceived,
    HeartbeatReceived,
    SubmissionReceived,
    WantReceived,
)
from paris.coordinator.state.model import LeaseState, TaskState
from paris.protocol.audits import PARTS, VALUES, packed
from paris.protocol.envelope import Envelope, seal
from paris.protocol.limits import MAX_CLUSTERS
from paris.protocol.run_records import Head, SubmittedFile, Task
from paris.protocol.signing import Identity
from paris.protocol.work_records import Audit, Heartbeat, Lease, Submission, Want

_GRACE_S = 3600.0
_NAMES = ("weights.safetensors", "ema.safetensors", "optimizer.safetensors")


class Records:
    """Makes observations; sequence numbers grow."""

    def __init__(self) -> None:
        sealed = seal(_want("waiting"), Identity.generate(), run_id="r", sequence=1, issued_at=0.0, expires_at=60.0)
        self._one: Envelope[Any] = sealed
        self._sequence = 1
        self._wants = {state: _want(state) for state in ("waiting", "paused", "leaving")}
        self._sketches: dict[float, str] = {}

    def want(self, key: str, state: str, now: float) -> WantReceived:
        """A want that has just come."""
        return WantReceived(self._enveloped(self._wants[state], key, now))

    def heartbeat(self, lease: Lease, step: int, now: float) -> HeartbeatReceived:
        """Progress under a lease."""
        payload = Heartbeat(
            lease_id=lease.lease_id,
            task_id=lease.task_id,
            attempt=lease.attempt,
            state="training",
            step=step,
            loss=0.1,
            steps_per_s=1.0,
        )
        return HeartbeatReceived(self._enveloped(payload, lease.volunteer, now))

    def submission(self, held: LeaseState, step: int, wrong: list[int], now: float) -> SubmissionReceived:
        """A leg up to a step; equal work under equal leases is equal in every bit."""
        lease = held.lease
        made_up = f"{lease.volunteer} {wrong}" if wrong else ""
        content = f"{held.start_commitment} {lease.start_step} {step} {made_up}"
        commitment = hashlib.sha256(content.encode()).hexdigest()
        payload = Submission(
            lease_id=lease.lease_id,
            task_id=lease.task_id,
            attempt=lease.attempt,
            name=f"v{lease.volunteer[-6:]}",
            repo="a/b",
            pull_request=1,
            commit="0" * 40,
            files=(SubmittedFile(path="expert.safetensors", sha256=commitment, bytes=1),),
            start_step=lease.start_step,
            steps=step,
            final_loss=0.1,
            commitment=commitment,
        )
        return SubmissionReceived(self._enveloped(payload, lease.volunteer, now))

    def audit(self, lease: Lease, value: float, now: float) -> AuditReceived:
        """What an auditor ended with; all values of its sketch are the same."""
        if value not in self._sketches:
            self._sketches[value] = packed(dict.fromkeys(PARTS, (value,) * VALUES))
        payload = Audit(
            lease_id=lease.lease_id,
            task_id=lease.task_id,
            attempt=lease.attempt,
            commitment="0" * 64,
            digest="0" * 64,
            sketch=self._sketches[value],
        )
        return AuditReceived(self._enveloped(payload, lease.volunteer, now))

    def _enveloped(self, payload: Any, key: str, now: float) -> Envelope[Any]:
        self._sequence += 1
        return replace(self._one, payload=payload, signer=key, issued_at=now, sequence=self._sequence)


def task_of(setup: Setup, task_id: str, cluster: int) -> TaskState:
    """A task of the simulated run."""
    return TaskState(
        task=Task(
            task_id=task_id,
            cluster=cluster % MAX_CLUSTERS,
            steps=setup.steps,
            batch_size=8,
            manifest_sha256="0" * 64,
            data_bytes=1,
            min_memory_bytes=1,
            min_disk_bytes=1,
            deadline_s=setup.deadline_s,
            grace_s=_GRACE_S,
            state="open",
        )
    )


def head_of(task_id: str, step: int, commitment: str) -> Head:
    """A stored state."""
    folder = f"states/{task_id}/step-{step:08d}"
    files = tuple(SubmittedFile(path=f"{folder}/{name}", sha256="1" * 64, bytes=1) for name in _NAMES)
    return Head(step=step, loss=0.1, previous="0" * 64, commitment=commitment, commit="0" * 40, files=files)


def _want(state: str) -> Want:
    return Want(
        name="volunteer",
        device="cpu",
        memory_bytes=10**9,
        disk_bytes=10**9,
        state=state,  # type: ignore[arg-type]
        node_version="9.0.0",
        audits=True,
    )
