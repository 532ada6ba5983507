"""The RPC layer of a peer: hivemind's protocol, with validation of each record and counted bytes.

hivemind drops a whole dictionary for one invalid subkey, stops storing a dictionary at the first subkey that is not
new, and trusts the expiry that a response claims for a dictionary and the ids that peers claim (`node_ids.py`). Any of
these would let one stale or hostile peer hide all other records.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.p2p import P2PContext, PeerID
from hivemind.proto import dht_pb2
from hivemind.utils.timed_storage import ValueWithExpiration

from paris.protocol.dht.node_ids import node_id_of
from paris.protocol.run_peer import Traffic


class TrafficCounter:
    """Adds up a peer's traffic; may be read from any thread."""

    def __init__(self) -> None:
        self.total = Traffic()

    def sent(self, *, records: int = 0, num_bytes: int = 0) -> None:
        """Count sent records and bytes."""
        total = self.total
        self.total = replace(total, records_sent=total.records_sent + records, bytes_sent=total.bytes_sent + num_bytes)

    def received(self, *, records: int = 0, num_bytes: int = 0) -> None:
        """Count received records and bytes."""
        total = self.total
        self.total = replace(
            total, records_received=total.records_received + records, bytes_received=total.bytes_received + num_bytes
        )


class _CountedStub:
    """RPC stub of another peer that counts the bytes of each call."""

    def __init__(self, stub: Any, traffic: TrafficCounter) -> None:
        self._stub = stub
        self._traffic = traffic

    async def rpc_ping(self, request: Any, timeout: float | None = None) -> Any:
        return await self._call(self._stub.rpc_ping, request, timeout)

    async def rpc_store(self, request: Any, timeout: float | None = None) -> Any:
        return await self._call(self._stub.rpc_store, request, timeout)

    async def rpc_find(self, request: Any, timeout: float | None = None) -> Any:
        return await self._call(self._stub.rpc_find, request, timeout)

    async def _call(self, method: Any, request: Any, timeout: float | None) -> Any:
        self._traffic.sent(num_bytes=request.ByteSize())
        response = await method(request, timeout=timeout)
        self._traffic.received(num_bytes=response.ByteSize())
        return response


class RunProtocol(DHTProtocol):
    """The DHT protocol of a peer; compatible with unmodified hivemind peers."""

    # hivemind caches handlers on the class; without these the base class's, with other names, would be used.
    _rpc_handlers = None
    _stub_type = None

    def __init__(self, *, _initialized_with_create: bool = False) -> None:
        super().__init__(_initialized_with_create=_initialized_with_create)
        self.traffic = TrafficCounter()

    @classmethod
    def _get_handle_name(cls, namespace: str | None, method_name: str) -> str:
        return str(DHTProtocol._get_handle_name(namespace, method_name))

    def get_stub(self, peer: PeerID) -> _CountedStub:
        """Make the stub of another peer."""
        return _CountedStub(super().get_stub(peer), self.traffic)

    async def rpc_ping(self, request: dht_pb2.PingRequest, context: P2PContext) -> dht_pb2.PingResponse:
        """Handle a ping."""
        response = await super().rpc_ping(request, context)
        self._count_served(request, response)
        return response

    async def rpc_find(self, request: dht_pb2.FindRequest, context: P2PContext) -> dht_pb2.FindResponse:
        """Handle a request for records and neighbours."""
        response = await super().rpc_find(request, context)
        self._count_served(request, response)
        return response

    async def rpc_store(self, request: dht_pb2.StoreRequest, context: P2PContext) -> dht_pb2.StoreResponse:
        """Handle a request to store records; dictionaries are split and validated record by record."""
        flat = dht_pb2.StoreRequest(peer=request.peer)
        sizes = [
            _append_flat(flat, row)
            for row in zip(
                request.keys, request.subkeys, request.values, request.expiration_time, request.in_cache, strict=True
            )
        ]
        kept = list((await super().rpc_store(flat, context)).store_ok)
        ends = list(accumulate(sizes))
        store_ok = [all(kept[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
        response = dht_pb2.StoreResponse(store_ok=store_ok, peer=self.node_info)
        self._count_served(request, response)
        return response

    async def call_find(self, peer: PeerID, keys: Any) -> Any:
        """Ask a peer for records and neighbours; the signed expiry and the bound ids replace the claimed ones."""
        found = await super().call_find(peer, keys)
        if found is None:
            return None
        return {
            key: (_with_signed_expiry(item), {node_id_of(near): near for near in nearest.values()})
            for key, (item, nearest) in found.items()
        }

    async def update_routing_table(self, node_id: DHTID | None, peer_id: PeerID, responded: bool = True) -> None:
        """Note a peer that was heard or not, under its bound id; a claimed one says only that it may be noted."""
        await super().update_routing_table(None if node_id is None else node_id_of(peer_id), peer_id, responded)

    def _validate_dictionary(self, key_bytes: bytes, dictionary: DictionaryDHTValue) -> bool:
        """Remove invalid records from a dictionary and keep the rest."""
        for subkey, item in list(dictionary.data.items()):
            packed = self.serializer.dumps(subkey)
            if not self._validate_record(key_bytes, packed, item.value, item.expiration_time):
                del dictionary[subkey]
        return True

    def _count_served(self, request: Any, response: Any) -> None:
        self.traffic.received(num_bytes=request.ByteSize())
        self.traffic.sent(num_bytes=response.ByteSize())


def _append_flat(flat: dht_pb2.StoreRequest, row: tuple[bytes, bytes, bytes, float, bool]) -> int:
    """Add one row of a store request, a dictionary as one row per record; return the number of rows."""
    key, tag, value, expiration_time, in_cache = row
    if tag != DHTProtocol.IS_DICTIONARY:
        rows = [(tag, value, expiration_time)]
    else:
        dictionary = DHTProtocol.serializer.loads(value)
        items = dictionary.data.items() if isinstance(dictionary, DictionaryDHTValue) else ()
        rows = [(DHTProtocol.serializer.dumps(name), item.value, item.expiration_time) for name, item in items]
    for subkey, record, record_expiration_time in rows:
        flat.keys.append(key)
        flat.subkeys.append(subkey)
        flat.values.append(record)
        flat.expiration_time.append(record_expiration_time)
        flat.in_cache.append(in_cache)
    return len(rows)


def _with_signed_expiry(item: ValueWithExpiration | None) -> ValueWithExpiration | None:
    """A dictionary with the latest expiry of its records; None if it is empty.

    Otherwise a peer could claim an infinite expiry and end the search with its own response.
    """
    if item is None or not isinstance(item.value, DictionaryDHTValue) or not item.value.data:
        return None
    latest = max(record.expiration_time for record in item.value.data.values())
    return ValueWithExpiration(item.value, latest)
