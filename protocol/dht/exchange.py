"""Storing records with confirmation from the replicas, and reading records.

`DHTNode.store` returns only the response of the replica that answered last. Here all replicas must confirm; if they
disagree, they are asked for the record itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from dataclasses import dataclass

from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID
from hivemind.utils.serializer import MSGPackSerializer

from paris.protocol.dht.node import NUM_REPLICAS, RunNode
from paris.protocol.envelope import Envelope
from paris.protocol.records import Payload
from paris.protocol.refusals import Refused
from paris.protocol.validator import Accepted

_log = logging.getLogger(__name__)
_RECORDS_PER_CALL = 128
"""At most 4 KiB each: far below the daemon's message limit of 4 MiB, and validated before the call times out."""
_KEYS_AT_ONCE = 16


@dataclass(frozen=True)
class PlacedRecord:
    """An envelope and its place in the DHT."""

    key: str
    subkey: str
    envelope: Envelope[Payload]


async def store_records(node: RunNode, records: list[PlacedRecord]) -> list[bool]:
    """Store records on the peers nearest to their keys.

    Args:
        node: The local peer.
        records: Records that this peer's own judge refuses are not sent.

    Returns:
        For each record, whether other peers are known to hold exactly it; in a swarm of one, whether this peer does.
    """
    if not node.daemon.is_running:
        return [False] * len(records)
    await node.rejoin_if_alone()
    results = [False] * len(records)
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
    found = await node.dht.get_many(keys, sufficient_expiration_time=math.inf)
    return {key: _checked(node, key, found.get(key)) for key in keys}


def _is_valid(node: RunNode, record: PlacedRecord) -> bool:
    envelope = record.envelope
    verdict = node.judge.judge(record.key, record.subkey, envelope.data, envelope.expires_at)
    if isinstance(verdict, Refused):
        _log.warning("Not published under %s: %s: %s", record.key, verdict.reason, verdict.detail)
    return isinstance(verdict, Accepted)


async def _store_key(node: RunNode, slots: asyncio.Semaphore, key: str, records: list[PlacedRecord]) -> list[bool]:
    """Store records of one key in batches, because replicas validate each record and must stay responsive."""
    key_id = DHTID.generate(source=key)
    async with slots:
        replicas = await _replicas(node, key_id)
        results: list[bool] = []
        for start in range(0, len(records), _RECORDS_PER_CALL):
            results += await _store_batch(node, replicas, key_id, records[start : start + _RECORDS_PER_CALL])
        return results


async def _store_batch(node: RunNode, replicas: list[PeerID], key_id: DHTID, records: list[PlacedRecord]) -> list[bool]:
    """Store one batch on the replicas of its key."""
    packed = [MSGPackSerializer.dumps(record.envelope.data) for record in records]
    if not node.options.client_mode:
        for record, value in zip(records, packed, strict=True):
            node.protocol.storage.store(key_id, value, record.envelope.expires_at, subkey=record.subkey)
    responses = await asyncio.gather(*(_store_at(node, peer, key_id, records, packed) for peer in replicas))
    answered = [response for response in responses if response is not None]
    node.protocol.traffic.sent(records=len(records) * len(answered))
    if not answered:
        # A peer with initial peers that finds no replica is cut off, not a swarm of one.
        is_sole_peer = not replicas and not node.options.client_mode and node.is_first
        return [is_sole_peer] * len(records)
    unanimous = [all(column) for column in zip(*answered, strict=True)]
    if all(unanimous):
        return unanimous
    held = await _held_by(node, replicas, key_id)
    return [
        yes or record.envelope.data in held.get(record.subkey, set())
        for yes, record in zip(unanimous, records, strict=True)
    ]


async def _replicas(node: RunNode, key_id: DHTID) -> list[PeerID]:
    """The peers nearest to a key."""
    if node.num_neighbours == 0:
        return []
    # Search for the adjacent id, which has the same nearest peers but no records: a search for the key itself would
    # transfer the whole dictionary from each of them.
    adjacent = DHTID(int(key_id) ^ 1)
    nearest = await node.dht.find_nearest_nodes([adjacent], k_nearest=NUM_REPLICAS, exclude_self=True)
    return list(nearest[adjacent].values())


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


async def _held_by(node: RunNode, replicas: list[PeerID], key_id: DHTID) -> dict[str, set[bytes]]:
    """The bytes that replicas return for a key, by subkey."""
    held: dict[str, set[bytes]] = defaultdict(set)
    for found in await asyncio.gather(*(node.protocol.call_find(peer, [key_id]) for peer in replicas)):
        item = None if found is None else found[key_id][0]
        if item is not None:
            for subkey, record in item.value.data.items():
                held[subkey].add(MSGPackSerializer.loads(record.value))
    return held


def _checked(node: RunNode, key: str, found: object) -> list[Envelope[Payload]]:
    dictionary = getattr(found, "value", None)
    if not isinstance(dictionary, dict):
        return []
    envelopes = []
    for subkey, item in sorted(dictionary.items(), key=lambda entry: str(entry[0])):
        verdict = node.judge.judge(key, subkey, item.value, item.expiration_time)
        if isinstance(verdict, Accepted):
            envelopes.append(verdict.envelope)
    node.protocol.traffic.received(records=len(envelopes))
    return envelopes
