"""The DHT key and subkey of each record.

Every key is a dictionary. The subkey of a volunteer's record starts with its signer; the validator enforces it, so
nobody can overwrite another volunteer's record.

    paris_v1_{run}_run              run
    paris_v1_{run}_tasks            {task_id}
    paris_v1_{run}_manifest_{k}     {part}
    paris_v1_{run}_leases           {task_id}.{attempt}; of an audit audit.{lease_id}
    paris_v1_{run}_challenges       {lease_id}
    paris_v1_{run}_verdicts         {lease_id}
    paris_v1_{run}_registry         {task_id}
    paris_v1_{run}_want_{b}         {signer}
    paris_v1_{run}_heartbeat_{b}    {signer}.{lease_id}
    paris_v1_{run}_submission_{b}   {signer}.{lease_id}
    paris_v1_{run}_answer_{b}       {signer}.{lease_id}
    paris_v1_{run}_audit_{b}        {signer}.{lease_id}
    paris_v1_{run}_holding_{k}      {signer}
"""

from __future__ import annotations

import hashlib

from paris.protocol.limits import MAX_CLUSTERS, MAX_NUM_BUCKETS
from paris.protocol.payload import Payload
from paris.protocol.run_records import ManifestPart, Registration, Task
from paris.protocol.work_records import Answer, Audit, Challenge, Heartbeat, Holding, Lease, Submission, Verdict

_PLURALS = {
    "run": "run",
    "task": "tasks",
    "lease": "leases",
    "challenge": "challenges",
    "verdict": "verdicts",
    "registration": "registry",
}
BUCKETED = ("want", "heartbeat", "submission", "answer", "audit")
CLUSTERED = ("manifest", "holding")


def dht_key(run_id: str, kind: str, part: int | None = None) -> str:
    """The DHT key of a kind.

    Args:
        run_id: The run.
        kind: A key of `RECORD_RULES`.
        part: Cluster for manifests, bucket for volunteers' kinds, None for the others.
    """
    name = _PLURALS.get(kind, kind)
    return f"paris_v1_{run_id}_{name}" if part is None else f"paris_v1_{run_id}_{name}_{part}"


def bucket_of(signer: str, num_buckets: int) -> int:
    """The bucket of a volunteer's records, 0 to num_buckets - 1, by hash of the public key."""
    return int.from_bytes(hashlib.sha256(bytes.fromhex(signer)).digest()[:8], "big") % num_buckets


def subkey_of(payload: Payload, signer: str) -> str:
    """The only valid subkey of a record."""
    match payload:
        case Task() | Registration():
            return payload.task_id
        case ManifestPart():
            return str(payload.part)
        case Lease():
            return f"audit.{payload.lease_id}" if payload.audit else f"{payload.task_id}.{payload.attempt}"
        case Verdict() | Challenge():
            return payload.lease_id
        case Heartbeat() | Submission() | Answer() | Audit():
            return f"{signer}.{payload.lease_id}"
        case _:
            return signer


def part_of(payload: Payload, signer: str, num_buckets: int) -> int | None:
    """Cluster or bucket in the DHT key of a record; None for kinds with one key."""
    if isinstance(payload, ManifestPart | Holding):
        return payload.cluster
    if payload.kind in BUCKETED:
        return bucket_of(signer, num_buckets)
    return None


def all_keys(run_id: str) -> dict[str, tuple[str, int | None]]:
    """Every key of a run, with its kind and part."""
    keys: dict[str, tuple[str, int | None]] = {dht_key(run_id, kind): (kind, None) for kind in _PLURALS}
    for kind in CLUSTERED:
        keys |= {dht_key(run_id, kind, k): (kind, k) for k in range(MAX_CLUSTERS)}
    for kind in BUCKETED:
        keys |= {dht_key(run_id, kind, b): (kind, b) for b in range(MAX_NUM_BUCKETS)}
    return keys
