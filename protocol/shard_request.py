"""Requesting a shard from a peer: a signed request, a short response, then the shard's bytes.

    request     4 bytes: its length; then canonical JSON
                {"at":..., "offset":0, "run_id":"...", "sha256":"<64 hex>", "signature":"<128 hex>",
                 "signer":"<64 hex>", "to":"<peer id>", "version":1}
    response    1 byte: a ShardStatus; 8 bytes: number of bytes that follow, 0 unless AVAILABLE
    bytes       exactly that many, starting at `offset`

Numbers are big-endian. The request is signed because only volunteers with a lease are served, and names the receiving
peer, so that nobody can forward it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from paris.protocol.canonical import canonical_bytes, parse_json
from paris.protocol.errors import ExpiredError, RecordError
from paris.protocol.fields import Bytes, PublicKey, Sha256, Timestamp
from paris.protocol.signing import Identity, verify_signature
from paris.protocol.version import PROTOCOL_VERSION, require_protocol

MAX_REQUEST_BYTES = 1024
_DOMAIN = b"paris-shard-request-v1\n"
_MAX_AGE_S = 30.0


class ShardStatus(IntEnum):
    """State of a shard at the peer that is asked."""

    AVAILABLE = 0
    """Its bytes follow."""
    FETCHING = 1
    """The peer is fetching it; ask again."""
    WANTED = 2
    """The peer will fetch it, but has not begun."""
    ABSENT = 3
    """Known, but the peer neither has nor fetches it."""
    BUSY = 4
    """Available, but the upload limit is reached; ask again."""
    REFUSED = 5
    """The peer does not serve this shard, or not to this signer."""


class ShardRequest(BaseModel):
    """A request as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Annotated[int, Field(ge=0, le=10**6)]
    run_id: Annotated[str, StringConstraints(max_length=80)]
    to: Annotated[str, StringConstraints(max_length=80)]
    """Peer id of the receiver, base58."""
    sha256: Sha256
    offset: Bytes
    """First byte requested."""
    at: Timestamp
    signer: PublicKey
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True)
class Reply:
    """A response: a status, and for AVAILABLE the part of a file to send."""

    status: ShardStatus
    path: Path | None = None
    offset: int = 0
    num_bytes: int = 0
    signer: str = ""
    """Who made the request; empty unless it may ask."""


class ShardServer(Protocol):
    """Decides on requests. Called from worker threads, which may block."""

    def answer(self, request_bytes: bytes) -> Reply:
        """Decide on a request; AVAILABLE occupies an upload slot until `release`. Must not raise."""

    def pace(self, num_bytes: int) -> float:
        """Seconds to wait before sending this many bytes."""

    def release(self, reply: Reply) -> None:
        """Free the slot: the reply was sent, or sending failed."""


def seal_request(identity: Identity, *, run_id: str, to: str, sha256: str, offset: int, at: float) -> bytes:
    """Sign a request.

    Args:
        identity: The key that has a lease.
        run_id: The run.
        to: Peer id of the receiver, base58.
        sha256: The shard.
        offset: First byte requested.
        at: Now, UTC seconds.
    """
    body: dict[str, Any] = {
        "version": PROTOCOL_VERSION,
        "run_id": run_id,
        "to": to,
        "sha256": sha256,
        "offset": offset,
        "at": float(at),
        "signer": identity.public_key,
    }
    return canonical_bytes({**body, "signature": identity.sign(_DOMAIN + canonical_bytes(body))})


def open_request(data: bytes, *, run_id: str, peer_id: str, now: float) -> ShardRequest:
    """Parse and verify a request. The caller decides whether to serve its signer.

    Args:
        data: Bytes from a peer.
        run_id: The expected run.
        peer_id: This peer's id, base58.
        now: UTC seconds.

    Raises:
        RecordError: Malformed, too long, of another run, or for another peer.
        VersionError: Another protocol version.
        ExpiredError: More than 30 s old, or from the future.
        SignatureError: The signature is invalid.
    """
    raw = parse_json(data, max_bytes=MAX_REQUEST_BYTES)
    if isinstance(raw, dict) and isinstance(raw.get("version"), int):
        require_protocol(raw["version"])
    try:
        request = ShardRequest.model_validate(raw)
    except ValidationError as error:
        raise RecordError(f"Not a shard request: {error.errors()[0]['msg']}.") from error
    if (request.run_id, request.to) != (run_id, peer_id):
        raise RecordError(f"The request is for peer {request.to} of run {request.run_id}.")
    if abs(now - request.at) > _MAX_AGE_S:
        raise ExpiredError(f"The request was made {now - request.at:.0f} s ago.")
    body = request.model_dump(exclude={"signature"})
    verify_signature(request.signer, _DOMAIN + canonical_bytes(body), request.signature)
    return request
