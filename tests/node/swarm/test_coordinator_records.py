"""The node's lease, and the state of the run, among the coordinator's records."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from units import make_unit

from paris.node.swarm.coordinator_records import (
    find_my_lease,
    find_task,
    find_verdict,
    read_manifest,
    read_summary,
    reason_to_stop,
    verdict_on_hub,
)
from paris.protocol.canonical import canonical_bytes
from paris.protocol.envelope import seal
from paris.protocol.errors import RecordError
from paris.protocol.manifest import shards_digest
from paris.protocol.run_records import Shard
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity
from paris.protocol.summary import summarise
from paris.protocol.work_records import Lease, Verdict

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
    def is_complete(num_experts: int, *states: str, tells: bool) -> bool:
        """By the coordinator's summary, or by the tasks where it is older and tells none."""
        tasks = [make_unit(f"expert-{i}").task.model_copy(update={"state": state}) for i, state in enumerate(states)]
        records = {"summary": [summarise(tasks)] if tells else [], "task": tasks if not tells else []}
        ways = SimpleNamespace(read=lambda kind: sealed_leases(*records[kind], coordinator=coordinator))
        summary = read_summary(ways)
        return summary is not None and summary.is_complete(num_experts)

    for tells in (True, False):
        assert not is_complete(1, tells=tells)
        assert not is_complete(2, "registered", tells=tells)
        assert not is_complete(2, "registered", "submitted", tells=tells)
        assert is_complete(2, "registered", "registered", tells=tells)


def test_of_lanes_each_counts_and_the_router_does_not():
    names = ("expert-0", "expert-0.1", "expert-1", "router")
    tasks = [make_unit("expert-0").task.model_copy(update={"task_id": name}) for name in names]
    summary = summarise(tasks)
    assert (summary.num_tasks, summary.lanes) == (3, 2)


def test_the_newest_record_of_the_task_counts(coordinator):
    tasks = [make_unit(name).task.model_copy(update={"steps": 10 + i}) for i, name in enumerate(["expert-0"] * 2)]
    found = sealed_leases(*tasks, make_unit("expert-1").task, coordinator=coordinator)
    assert find_task(found, "expert-0").steps == 11
    assert find_task(reversed(found), "expert-0").steps == 11
    assert find_task(found, "expert-2") is None


def verdict(lease_id: str, reason: str) -> Verdict:
    return Verdict(
        lease_id=lease_id, task_id="expert-0", attempt=1, volunteer=ME, accepted=False, reason=reason, rungs=()
    )


def test_the_newest_verdict_on_this_lease_counts_and_none_on_another(coordinator):
    mine, other = "a" * 32, "b" * 32
    found = sealed_leases(verdict(mine, "1"), verdict(mine, "2"), verdict(other, "3"), coordinator=coordinator)
    assert find_verdict(found, mine).reason == "2"
    assert find_verdict(reversed(found), mine).reason == "2"
    assert find_verdict(found, "c" * 32) is None


class Comments:
    """Stands for a Hub whose pull request has these comments."""

    def __init__(self, *texts: str) -> None:
        self.api = self
        self.events = [SimpleNamespace(content=text) for text in texts]

    def get_discussion_details(self, repo: str, number: int, repo_type: str) -> Comments:
        return self


def test_a_verdict_on_another_lease_in_the_comments_is_passed_over(coordinator):
    mine, other = "a" * 32, "b" * 32
    lines = [
        f"paris-verdict: {envelope.data.decode()}"
        for envelope in sealed_leases(
            verdict(other, "not mine"), lease(1), verdict(mine, "mine"), coordinator=coordinator
        )
    ]
    seen = {"run_id": make_run_id("tiny", coordinator.public_key), "coordinator": coordinator.public_key}
    hub = Comments("", "paris-verdict: {}", *lines)
    assert verdict_on_hub(hub, "org/model", 1, **seen, lease_id=mine).reason == "mine"
    assert verdict_on_hub(Comments(*lines[:2]), "org/model", 1, **seen, lease_id=mine) is None


SHARDS = [{"path": "shards/a.parquet", "sha256": "1" * 64, "bytes": 5, "rows": 2}]


class ManifestHub(Comments):
    """Stands for a Hub that holds one manifest."""

    def __init__(self, document: object) -> None:
        super().__init__()
        self.document = document

    def repo_info(self, repo: str, repo_type: str) -> SimpleNamespace:
        return SimpleNamespace(sha="9" * 40)

    def url(self, repo: str, path: str, repo_type: str, revision: str) -> str:
        return f"{repo}/{path}@{revision}"

    def read_small(self, url: str, max_bytes: int) -> bytes:
        assert url == f"org/data/manifests/cluster-000.json@{'9' * 40}"
        return canonical_bytes(self.document)


def manifest_from(document: object, make_spec, *in_dht: object):
    digest = shards_digest(tuple(Shard.model_validate(shard) for shard in SHARDS))
    task = make_unit().task.model_copy(update={"manifest_sha256": digest})
    swarm = SimpleNamespace(read=lambda kind, part: in_dht)
    return read_manifest(swarm, ManifestHub(document), make_spec(data_repo="org/data").payload, task)


def test_a_manifest_of_the_hub_counts_only_with_the_digest_of_the_task(make_spec):
    found = manifest_from({"shards": SHARDS}, make_spec)
    assert (found.cluster, found.repo, found.revision, found.rows) == (0, "org/data", "9" * 40, 2)
    with pytest.raises(RecordError, match="is not the manifest that expert-0 names"):
        manifest_from({"shards": [{**SHARDS[0], "sha256": "2" * 64}]}, make_spec)


@pytest.mark.parametrize("document", [{}, [], {"shards": 5}, {"shards": [{}]}, {"shards": [{**SHARDS[0], "x": 1}]}])
def test_what_is_no_manifest_is_refused_by_its_path(make_spec, document):
    with pytest.raises(RecordError, match=r"manifests/cluster-000\.json in org/data is not"):
        manifest_from(document, make_spec)
