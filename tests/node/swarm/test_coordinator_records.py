"""The node's lease, and the state of the run, among the coordinator's records."""

from __future__ import annotations

import time

from units import make_unit

from paris.node.swarm.coordinator_records import find_my_lease, is_complete, reason_to_stop
from paris.protocol.envelope import seal
from paris.protocol.records import Lease
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity

ME = "a" * 64


def sealed_leases(*leases: Lease, coordinator: Identity) -> list:
    run_id = make_run_id("tiny", coordinator.public_key)
    now = time.time()
    return [
        seal(lease, coordinator, run_id=run_id, sequence=i, issued_at=now, expires_at=now + 60)
        for i, lease in enumerate(leases, 1)
    ]


def lease(attempt: int, state: str = "granted", volunteer: str = ME) -> Lease:
    return Lease(
        lease_id=f"{attempt:032x}",
        task_id="expert-0",
        attempt=attempt,
        volunteer=volunteer,
        granted_at=float(attempt),
        expires_at=1e9,
        state=state,
        reason="too late." if state == "revoked" else "",
    )


def test_my_lease_is_the_latest_that_is_granted_to_me_and_not_done_with(coordinator):
    other = "b" * 64
    leases = sealed_leases(lease(1), lease(2), lease(3, "revoked"), lease(4, volunteer=other), coordinator=coordinator)
    assert find_my_lease(leases, ME, set()).attempt == 2
    assert find_my_lease(leases, ME, {lease(2).lease_id}).attempt == 1
    assert find_my_lease(leases, "c" * 64, set()) is None


def test_only_a_record_that_says_so_takes_a_lease_back(coordinator):
    assert reason_to_stop([], lease(1)) is None
    assert reason_to_stop(sealed_leases(lease(1), lease(2, "revoked"), coordinator=coordinator), lease(1)) is None
    assert reason_to_stop(sealed_leases(lease(1, "revoked"), coordinator=coordinator), lease(1)) == "too late."


def test_a_run_is_complete_when_every_expert_is_registered(coordinator):
    def tasks(*states: str) -> list:
        records = [make_unit(f"expert-{i}").task.model_copy(update={"state": state}) for i, state in enumerate(states)]
        return sealed_leases(*records, coordinator=coordinator)

    assert not is_complete([], 1)
    assert not is_complete(tasks("registered"), 2)
    assert not is_complete(tasks("registered", "submitted"), 2)
    assert is_complete(tasks("registered", "registered"), 2)
