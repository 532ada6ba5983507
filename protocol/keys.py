"""The DHT key and subkey of each record.

Every key is a dictionary. The subkey of a volunteer's record starts with its signer; the validator enforces it, so
nobody can overwrite another volunteer's record.

    paris_v1_{run}_run              run
    paris_v1_{run}_tasks            {task_id}
    paris_v1_{run}_summary          summary
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
    paris_v1_{run}_own_{volunteer}  {kind}.{volunteer}.{subkey}, of a lease, challenge or verdict for that volunteer

The last key has copies, so that a volunteer need not read those of all others.
"""

from __future__ import annotations

import hashlib
import re

from paris.protocol.limits import MAX_CLUSTERS, MAX_NUM_BUCKETS
from paris.protocol.payload import Payload
from paris.protocol.run_records import ManifestPart, Registration, Task
from paris.protocol.work_records import Answer, Audit, Challenge, Heartbeat, Holding, Lease, Submission, Verdict

_PLURALS = {
    "run": "run",
    "task": "tasks",
    "summary": "summary",
    "lease": "leases",
    "challenge": "challenges",
    "verdict": "verdicts",
    "registration": "registry",
}
BUCKETED = ("want", "heartbeat", "submission", "answer", "audit")
CLUSTERED = ("manifest", "holding")
OWN_KINDS = ("lease", "challenge", "verdict")
"""The coordinator's records for one volunteer, which are under a key of that volunteer too."""
OWN = "own"
"""In place of a kind, in that key."""
_OWN_SUBKEY = re.compile(r"(?P<kind>[a-z]+)\.(?P<volunteer>[0-9a-f]{64})\..*", re.DOTALL)


def dht_key(run_id: str, kind: str, part: int | str | None = None) -> str:
    """The DHT key of a kind.

    Args:
        run_id: The run.
        kind: A key of `RECORD_RULES`, or `OWN`.
        part: Cluster for manifests, bucket for volunteers' kinds, public key for `OWN`, None for the others.
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


def own_subkey(payload: Lease | Challenge | Verdict) -> str:
    """The only valid subkey of a record under the key of its volunteer."""
    return f"{payload.kind}.{payload.volunteer}.{subkey_of(payload, payload.volunteer)}"


def own_place(run_id: str, subkey: object) -> tuple[str, str, str] | None:
    """The key that a subkey belongs to, the kind that it names, and the volunteer; None if it is of no such key.

    Keys of volunteers are not known beforehand, and the DHT passes on hashes of keys: the subkey tells which it is.

    Args:
        run_id: The run.
        subkey: Unchecked; of any type.
    """
    found = _OWN_SUBKEY.fullmatch(subkey) if isinstance(subkey, str) else None
    if found is None or found["kind"] not in OWN_KINDS:
        return None
    return dht_key(run_id, OWN, found["volunteer"]), found["kind"], found["volunteer"]


def places_of(run_id: str, payload: Payload, signer: str, num_buckets: int) -> list[tuple[str, str]]:
    """Keys and subkeys under which peers hold a record: one, or two where it is for a volunteer."""
    places = [(dht_key(run_id, payload.kind, part_of(payload, signer, num_buckets)), subkey_of(payload, signer))]
    if isinstance(payload, Lease | Challenge | Verdict):
        places.append((dht_key(run_id, OWN, payload.volunteer), own_subkey(payload)))
    return places


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
