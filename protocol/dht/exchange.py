"""Storing records with confirmation from the replicas, and reading records.

The replicas are the peers nearest to a key, and the pinned peers (`pinned.py`). `DHTNode.store` returns only the
response of the replica that answered last. Here the pinned peers decide, this one among them, or all others while none
of them answers; if they disagree, they are asked for the record itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID
from hivemind.utils.serializer import MSGPackSerializer

from paris.protocol.dht.node import NUM_REPLICAS, RunNode
from paris.protocol.envelope import Envelope
from paris.protocol.outcome import Outcome, outcome_of
from paris.protocol.payload import Payload
from paris.protocol.refusals import Refused
from paris.protocol.validator import Accepted

_log = logging.getLogger(__name__)
_RECORDS_PER_CALL = 128
"""At most 4 KiB each: far below the daemon's message limit of 4 MiB, and validated before the call times out."""
_KEYS_AT_ONCE = 16
_Found = dict[Any, tuple[Any, float]]
"""Values and expiries by subkey, unchecked."""


@dataclass(frozen=True)
class PlacedRecord:
    """An envelope and its place in the DHT."""

    key: str
    subkey: str
    envelope: Envelope[Payload]


async def store_records(node: RunNode, records: list[PlacedRecord]) -> list[Outcome]:
    """Store records on the replicas of their keys.

    Args:
        node: The local peer.
        records: Records that this peer's own judge refuses are not sent.

    Returns:
        For each record its outcome; in a swarm of one this peer is the replica.
    """
    results = [Outcome.UNANSWERED] * len(records)
    if not node.daemon.is_running:
        return results
    await node.rejoin_if_alone()
    by_key: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if _is_valid(node, record):
            by_key[record.key].append(index)
    slots = asyncio.Semaphore(_KEYS_AT_ONCE)
    answers = await asyncio.gather(
        *(_store_key(node, slots, key, [records[index] for index in indices]) for key, indices in by_key.items())
    )
    for indices, answer in zip(by_key.values(), answers, strict=True):
        for index, held in zip(indices, answer, strict=True):
            results[index] = held
    return results


async def read_records(node: RunNode, keys: list[str]) -> dict[str, list[Envelope[Payload]]]:
    """Read keys concurrently from every replica that answers.

    Returns:
        For each key its valid records, ordered by subkey; an empty list if none was found.
    """
    if not node.daemon.is_running:
        return {key: [] for key in keys}
    await node.rejoin_if_alone()
    # No record has an infinite expiry, so the search asks all replicas and merges their records.
    found, pinned = await asyncio.gather(
        node.dht.get_many(keys, sufficient_expiration_time=math.inf), _read_pinned(node, keys)
    )
    return {key: _checked(node, key, [_dictionary(found.get(key)), *pinned[key]]) for key in keys}


async def read_fresh(node: RunNode, keys: list[str]) -> dict[str, list[Envelope[Payload]]]:
    """The records that were stored at this peer since the last call; no other peer is asked.

    Returns:
        For each key its valid records, ordered by subkey.
    """
    found = {}
    for key in keys:
        fresh = node.protocol.storage.shelves.take_fresh(DHTID.generate(source=key))
        values = {subkey: (MSGPackSerializer.loads(item.value), item.expires_at) for subkey, item in fresh.items()}
        found[key] = _checked(node, key, [values])
    return found


async def _read_pinned(node: RunNode, keys: list[str]) -> dict[str, list[_Found]]:
    """What each pinned peer has under each key; nothing where one is all that this peer knows: the search asks it."""
    found: dict[str, list[_Found]] = {key: [] for key in keys}
    slots = asyncio.Semaphore(_KEYS_AT_ONCE)

    async def ask(key: str, peer: PeerID) -> None:
        # One key a call: a message has 4 MiB, and two full dictionaries have more.
        async with slots:
            if peer not in node.pinned_peers():
                return
            key_id = DHTID.generate(source=key)
            answer = await node.protocol.call_find(peer, [key_id])
        node.pinned.note(peer, answered=answer is not None)
        item = None if answer is None else answer[key_id][0]
        if item is not None:
            records = item.value.data.items()
            found[key].append({subkey: (MSGPackSerializer.loads(value), expiry) for subkey, (value, expiry) in records})

    pinned = node.pinned_peers()
    if node.neighbours != pinned or len(pinned) != 1:
        await asyncio.gather(*(ask(key, peer) for key in keys for peer in pinned))
    return found


def _is_valid(node: RunNode, record: PlacedRecord) -> bool:
    envelope = record.envelope
    verdict = node.judge.judge(record.key, record.subkey, envelope.data, envelope.expires_at)
    if isinstance(verdict, Refused):
        _log.warning("Not published under %s: %s: %s", record.key, verdict.reason, verdict.detail)
    return isinstance(verdict, Accepted)


async def _store_key(node: RunNode, slots: asyncio.Semaphore, key: str, records: list[PlacedRecord]) -> list[Outcome]:
    """Store records of one key in batches, because replicas validate each record and must stay responsive."""
    key_id = DHTID.generate(source=key)
    async with slots:
        replicas = await _replicas(node, key_id)
        results: list[Outcome] = []
        for start in range(0, len(records), _RECORDS_PER_CALL):
            results += await _store_batch(node, replicas, key_id, records[start : start + _RECORDS_PER_CALL])
        return results


async def _store_batch(
    node: RunNode, replicas: list[PeerID], key_id: DHTID, records: list[PlacedRecord]
) -> list[Outcome]:
    """Store one batch on the replicas of its key."""
    packed = [MSGPackSerializer.dumps(record.envelope.data) for record in records]
    own = [] if node.options.client_mode else _store_here(node, key_id, records, packed)
    responses = await asyncio.gather(*(_store_at(node, peer, key_id, records, packed) for peer in replicas))
    answered = {peer: stored for peer, stored in zip(replicas, responses, strict=True) if stored is not None}
    node.protocol.traffic.sent(records=len(records) * len(answered))
    pinned = [peer for peer in node.pinned_peers() if peer in replicas]
    for peer in pinned:
        node.pinned.note(peer, answered=peer in answered)
    # A peer with initial peers that finds no replica is cut off, not a swarm of one.
    is_sole_peer = not replicas and not node.options.client_mode and node.is_first
    if node.is_pinned or is_sole_peer:
        return own
    if not answered:
        return [Outcome.UNANSWERED] * len(records)
    deciding = [peer for peer in pinned if peer in answered] or list(answered)
    unanimous = [all(column) for column in zip(*(answered[peer] for peer in deciding), strict=True)]
    if all(unanimous):
        return [Outcome.STORED] * len(records)
    held = await _held_by(node, deciding, key_id)
    return [
        Outcome.STORED if yes else outcome_of(record.subkey, value, held)
        for yes, record, value in zip(unanimous, records, packed, strict=True)
    ]


def _store_here(node: RunNode, key_id: DHTID, records: list[PlacedRecord], packed: list[bytes]) -> list[Outcome]:
    """Store records at this peer; what became of each."""
    storage = node.protocol.storage
    stored = [
        storage.store(key_id, value, record.envelope.expires_at, subkey=record.subkey)
        for record, value in zip(records, packed, strict=True)
    ]
    if all(stored):
        return [Outcome.STORED] * len(records)
    held = [{subkey: item.value for subkey, item in storage.shelves.under(key_id).items()}]
    return [
        Outcome.STORED if is_stored else outcome_of(record.subkey, value, held)
        for record, value, is_stored in zip(records, packed, stored, strict=True)
    ]


async def _replicas(node: RunNode, key_id: DHTID) -> list[PeerID]:
    """The pinned peers, and the peers nearest to a key."""
    if node.num_neighbours == 0:
        return []
    # Search for the adjacent id, which has the same nearest peers but no records: a search for the key itself would
    # transfer the whole dictionary from each of them.
    adjacent = DHTID(int(key_id) ^ 1)
    nearest = await node.dht.find_nearest_nodes([adjacent], k_nearest=NUM_REPLICAS, exclude_self=True)
    return list(dict.fromkeys([*node.pinned_peers(), *nearest[adjacent].values()]))


async def _store_at(
    node: RunNode, peer: PeerID, key_id: DHTID, records: list[PlacedRecord], packed: list[bytes]
) -> list[bool] | None:
    """Whether a replica stored each record; None if its response is missing or incomplete."""
    stored = await node.protocol.call_store(
        peer,
        keys=[key_id] * len(records),
        values=packed,
        expiration_time=[record.envelope.expires_at for record in records],
        subkeys=[record.subkey for record in records],
    )
    return list(stored) if stored is not None and len(stored) == len(records) else None


async def _held_by(node: RunNode, replicas: list[PeerID], key_id: DHTID) -> list[dict[str, bytes]]:
    """What each replica that answers returns for a key: packed values by subkey."""
    answers = await asyncio.gather(*(node.protocol.call_find(peer, [key_id]) for peer in replicas))
    items = [answer[key_id][0] for answer in answers if answer is not None]
    return [{subkey: record.value for subkey, record in item.value.data.items()} for item in items if item is not None]


def _dictionary(found: object) -> _Found:
    """A result of hivemind's search; empty if it found nothing."""
    dictionary = getattr(found, "value", None)
    return dictionary if isinstance(dictionary, dict) else {}


def _checked(node: RunNode, key: str, found: list[_Found]) -> list[Envelope[Payload]]:
    """The valid records among dictionaries, the newest of each subkey."""
    newest: dict[str, Envelope[Payload]] = {}
    for subkey, (value, expiry) in (entry for dictionary in found for entry in dictionary.items()):
        verdict = node.judge.judge(key, subkey, value, expiry)
        known = newest.get(subkey)
        if isinstance(verdict, Accepted) and (known is None or verdict.envelope.sequence > known.sequence):
            newest[subkey] = verdict.envelope
    node.protocol.traffic.received(records=len(newest))
    return [newest[subkey] for subkey in sorted(newest)]
