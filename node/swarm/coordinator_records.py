"""Finds this node's leases, tasks, manifests and verdicts among the coordinator's records, all verified before."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import ValidationError

from paris.node.errors import TransientHubError
from paris.node.hub.client import Hub, translated
from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways.ways import Ways
from paris.protocol.canonical import parse_json
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError, RecordError
from paris.protocol.hub_layout import VERDICT_MARK, manifest_path
from paris.protocol.manifest import Manifest, join_manifest, shards_digest
from paris.protocol.run_records import RunSpec, Shard, Task
from paris.protocol.summary import Summary, summarise
from paris.protocol.work_records import Challenge, Lease, Verdict

_MAX_MANIFEST_BYTES = 64 * 2**20
_TOLD_ATTEMPTS = 3
"""The coordinator tells the leases of so many last attempts of each task, whatever became of them."""


def find_my_lease(leases: Iterable[Envelope[Any]], me: str, done_with: Collection[str]) -> Lease | None:
    """The lease to work on: granted to this node, not finished, the latest one.

    Args:
        leases: Records of kind lease.
        me: Public key of this node.
        done_with: Ids of finished leases.
    """
    granted = [
        envelope.payload
        for envelope in leases
        if envelope.payload.volunteer == me
        and envelope.payload.state == "granted"
        and envelope.payload.lease_id not in done_with
    ]
    return max(granted, key=lambda lease: (lease.granted_at, lease.attempt), default=None)


def reason_to_stop(leases: Iterable[Envelope[Any]], granted: Lease) -> str | None:
    """Why the coordinator took a lease back, or None. A missing record never means that.

    Args:
        leases: Records of kind lease.
        granted: The lease as it was granted.
    """
    ended = ended_lease(leases, granted)
    return None if ended is None else ended.reason or f"the lease is {ended.state}."


def ended_lease(leases: Iterable[Envelope[Any]], granted: Lease) -> Lease | None:
    """The record by which the coordinator ended a lease, or None.

    Args:
        leases: Records of kind lease.
        granted: The lease as it was granted.
    """
    for envelope in leases:
        lease: Lease = envelope.payload
        if lease.lease_id == granted.lease_id and lease.state != "granted":
            return lease
    return None


def is_given_back(leases: Iterable[Envelope[Any]], tasks: Iterable[Envelope[Any]], granted: Lease) -> bool:
    """Whether the coordinator has ended a lease: taken it back, or registered other work of its task.

    A later lease of the task alone says nothing: the task may be leased to both. Where there is one, or the task is
    several attempts on, and the lease's own record is not there, the coordinator tells it no longer, as one that ended
    long ago.

    Args:
        leases: Records of kind lease.
        tasks: Records of kind task.
        granted: The lease as it was granted.
    """
    leases = list(leases)
    if reason_to_stop(leases, granted) is not None:
        return True
    if granted.audit is not None:  # whose number is not the task's
        return False
    task = find_task(tasks, granted.task_id)
    if task is not None and task.state == "registered":
        return True
    is_told = any(envelope.payload.lease_id == granted.lease_id for envelope in leases)
    is_superseded = task is not None and task.attempt >= granted.attempt + _TOLD_ATTEMPTS
    return not is_told and (is_superseded or any(_is_later(envelope.payload, granted) for envelope in leases))


def _is_later(lease: Lease, granted: Lease) -> bool:
    """Whether a lease is a later one of the same task."""
    return lease.audit is None and lease.task_id == granted.task_id and lease.attempt > granted.attempt


def find_task(tasks: Iterable[Envelope[Any]], task_id: str) -> Task | None:
    """The newest record of a task."""
    matches = [envelope for envelope in tasks if envelope.payload.task_id == task_id]
    return max(matches, key=lambda envelope: envelope.sequence).payload if matches else None


def read_summary(ways: Ways) -> Summary | None:
    """How many of the run's tasks are in which state; None while nothing is known.

    An older coordinator publishes no summary: then the records of all tasks are counted.
    """
    found = ways.read("summary")
    if found:
        newest: Summary = max(found, key=lambda envelope: envelope.sequence).payload
        return newest
    tasks = {envelope.payload.task_id: envelope.payload for envelope in ways.read("task")}
    return summarise(tasks.values()) if tasks else None


def read_manifest(swarm: Swarm, hub: Hub, spec: RunSpec, task: Task) -> Manifest:
    """The task's list of shards, from the DHT or else from its copy in the data repo.

    Raises:
        RecordError: Neither source has a list with the digest that the task names.
        HubRefusedError: The Hub rejected the request permanently.
        TransientHubError: The Hub does not answer now.
    """
    chunks = [envelope.payload for envelope in swarm.read("manifest", task.cluster)]
    try:
        return join_manifest(chunks, task.manifest_sha256)
    except RecordError:
        return _manifest_on_hub(hub, spec, task)


def _manifest_on_hub(hub: Hub, spec: RunSpec, task: Task) -> Manifest:
    with translated(f"looking up {spec.data_repo}"):
        revision = str(hub.api.repo_info(spec.data_repo, repo_type="dataset").sha)
    path = manifest_path(task.cluster)
    url = hub.url(spec.data_repo, path, repo_type="dataset", revision=revision)
    data = hub.read_small(url, _MAX_MANIFEST_BYTES)
    try:
        raw = parse_json(data, max_bytes=_MAX_MANIFEST_BYTES)
    except RecordError as error:  # only a whole one can be the organiser's
        raise TransientHubError(f"{path} of {spec.data_repo} did not arrive as whole JSON: {error.what}") from error
    try:
        shards = tuple(Shard.model_validate(shard) for shard in raw["shards"])
    except (ValidationError, KeyError, TypeError) as error:
        raise RecordError(f"{path} in {spec.data_repo} is not a manifest.", "Tell the organiser.") from error
    if shards_digest(shards) != task.manifest_sha256:
        raise RecordError(
            f"{path} in {spec.data_repo} is not the manifest that {task.task_id} names.", "Tell the organiser."
        )
    return Manifest(task.cluster, spec.data_repo, revision, shards)


def find_verdict(verdicts: Iterable[Envelope[Any]], lease_id: str) -> Verdict | None:
    """The newest verdict on a lease."""
    matches = [envelope for envelope in verdicts if envelope.payload.lease_id == lease_id]
    return max(matches, key=lambda envelope: envelope.sequence).payload if matches else None


def find_challenge(challenges: Iterable[Envelope[Any]], lease_id: str) -> Challenge | None:
    """The newest challenge to the work on a lease."""
    matches = [envelope for envelope in challenges if envelope.payload.lease_id == lease_id]
    return max(matches, key=lambda envelope: envelope.sequence).payload if matches else None


def verdict_on_hub(
    hub: Hub, repo: str, pull_request: int, *, run_id: str, coordinator: str, lease_id: str
) -> Verdict | None:
    """The verdict from the pull request's comments, for when the DHT is unreachable.

    A comment counts when one of its lines is `paris-verdict: <sealed record>` signed by the run's key.

    Args:
        hub: The run's Hub.
        repo: The model repo.
        pull_request: Its number.
        run_id: The run.
        coordinator: The run's pinned key.
        lease_id: The lease.

    Raises:
        HubRefusedError, TransientHubError: The pull request cannot be read.
    """
    with translated(f"looking at pull request {pull_request}"):
        details = hub.api.get_discussion_details(repo, pull_request, repo_type="model")
    for event in details.events:
        for line in str(getattr(event, "content", "") or "").splitlines():
            if line.startswith(VERDICT_MARK):
                verdict = _open_verdict(line.removeprefix(VERDICT_MARK).encode("utf-8"), run_id, coordinator)
                if verdict is not None and verdict.lease_id == lease_id:
                    return verdict
    return None


def _open_verdict(data: bytes, run_id: str, coordinator: str) -> Verdict | None:
    try:
        envelope = open_envelope(data, run_id=run_id, coordinator=coordinator, now=None)
    except ParisError:
        return None  # anyone may write a comment; only one signed by the run counts
    return envelope.payload if isinstance(envelope.payload, Verdict) else None
