"""A real node audits another volunteer's stretch before its own work, and says what it does."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from units import RUN, make_unit

from paris.experts.training.sketch import keyed_digest
from paris.node.swarm.coordinator_records import is_given_back
from paris.node.work.auditing import audited_task
from paris.protocol.audit_order import AuditOrder, AuditStart
from paris.protocol.audits import unpacked
from paris.protocol.envelope import Envelope, seal
from paris.protocol.payload import Payload
from paris.protocol.signing import Identity
from paris.protocol.work_records import Lease

NONCE = "5e" * 32


def order(volunteer: str, **changes) -> Lease:
    now = time.time()
    fields = {
        "lease_id": "a" * 32,
        "task_id": "expert-0",
        "attempt": 7,
        "volunteer": volunteer,
        "granted_at": now,
        "expires_at": now + 600,
        "start_step": 0,
        "to_step": 10,
        "audit": AuditOrder(nonce=NONCE),
    }
    return Lease(**{**fields, **changes})


@pytest.mark.slow
def test_a_node_trains_the_stretch_again_uploads_nothing_and_then_takes_a_task(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(10)
    coordinator.is_granting = False
    home = tmp_path / "home"
    node = start("--name", "ada", "--once")
    node.wait_for("joined")
    lease = order(_public_key(home))
    coordinator.audit(lease)
    shown = node.wait_for("auditing")
    assert (shown["task_id"], shown["start_step"], shown["end_step"]) == ("expert-0", 0, 10)
    thanks = node.wait_for("note")
    while "has the audit" not in thanks["text"]:
        thanks = node.wait_for("note")
    assert coordinator.submissions == {}
    assert not list((home / "runs").glob("*/audit-expert-0-7/work/snapshots")), "its files are deleted"
    coordinator.is_granting = True
    assert node.wait_for("verdict")["accepted"]
    (submission,) = coordinator.submissions.values()
    audit = coordinator.audited[lease.lease_id]
    assert audit.commitment == submission.commitment, "its own task has the same steps"
    digest = submission.files[0].sha256
    ema = coordinator.api.hf_hub_download(
        "org/model", submission.files[0].path, revision=submission.commit, cache_dir=tmp_path / "c"
    )
    assert hashlib.sha256(Path(ema).read_bytes()).hexdigest() == digest
    assert audit.digest == keyed_digest(Path(ema), NONCE)
    assert all(any(sums) for sums in unpacked(audit.sketch).values())


def _public_key(home: Path) -> str:
    return Identity.load(home / "identity.key").public_key


def test_an_audit_starts_where_its_lease_says_whatever_the_tasks_head_is():
    start = AuditStart(
        previous="1" * 64,
        commitment="2" * 64,
        commit="3" * 40,
        folder="submissions/expert-0-1-aaaaaaaa/step-00000500",
        sha256=("4" * 64,) * 3,
        bytes=(10, 20, 30),
    )
    lease = order("0" * 64, start_step=500, to_step=550, audit=AuditOrder(nonce=NONCE, start=start))
    head = audited_task(make_unit().task, lease).head
    assert (head.step, head.commitment) == (500, "2" * 64)
    assert audited_task(make_unit().task, order("0" * 64)).head is None


def test_an_audit_is_given_back_when_its_own_lease_ends_not_when_the_task_goes_on():
    def sealed(payload: Payload) -> Envelope:
        now, who = time.time(), Identity.generate()
        return seal(payload, who, run_id=RUN, sequence=1, issued_at=now, expires_at=now + 60)

    lease, later = order("0" * 64), make_unit().task.model_copy(update={"attempt": 9, "state": "registered"})
    assert not is_given_back([sealed(lease)], [sealed(later)], lease)
    ended = lease.model_copy(update={"state": "revoked"})
    assert is_given_back([sealed(ended)], [sealed(later)], lease)
