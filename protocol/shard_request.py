"""Asking a peer for a shard: a signed question, a short answer, then the shard's bytes.

    question    4 bytes: its length; then canonical JSON
                {"at":..., "offset":0, "run_id":"...", "sha256":"<64 hex>", "signature":"<128 hex>",
                 "signer":"<64 hex>", "to":"<peer id>", "version":1}
    answer      1 byte: a ShardStatus; 8 bytes: how many bytes of the shard follow, 0 but for HERE
    bytes       exactly so many, from `offset` on

Numbers are big-endian. The question is signed because only volunteers with a lease are served, and names whom it is put
to, so that nobody can pass it on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from paris.protocol.canonical import canonical_bytes, parse_json
from paris.protocol.errors import ExpiredError, RecordError
from paris.protocol.records import Bytes, Instant, PublicKey, Sha256
from paris.protocol.signing import Identity, verify_signature
from paris.protocol.version import PROTOCOL_VERSION, require_protocol

MAX_REQUEST_BYTES = 1024
_DOMAIN = b"paris-shard-request-v1\n"
_MAX_AGE_S = 30.0


class ShardStatus(IntEnum):
    """What a peer says of a shard."""

    HERE = 0
    """Its bytes follow."""
    FETCHING = 1
    """On its way to me; ask again."""
    WANTED = 2
    """I shall fetch it, but have not begun."""
    ABSENT = 3
    """I know it, have it not, and shall not fetch it."""
    BUSY = 4
    """I have it, but send as much as I am willing to already; ask again."""
    REFUSED = 5
    """I serve no such shard, or not to you."""


class ShardRequest(BaseModel):
    """A question as it stands in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Annotated[int, Field(ge=0, le=10**6)]
    run_id: Annotated[str, StringConstraints(max_length=80)]
    to: Annotated[str, StringConstraints(max_length=80)]
    """Peer id, base58, of the peer that is asked."""
    sha256: Sha256
    offset: Bytes
    """First byte wanted."""
    at: Instant
    signer: PublicKey
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True)
class Reply:
    """What a peer answers: a status, and for HERE the file and the part of it that is sent."""

    status: ShardStatus
    path: Path | None = None
    offset: int = 0
    num_bytes: int = 0
    signer: str = ""
    """Who asked; empty where nobody was believed."""


class ShardServer(Protocol):
    """What decides on questions; called from threads that may block."""

    def answer(self, question: bytes) -> Reply:
        """Judge a question; HERE takes up a place until `release`. Must not raise."""

    def pace(self, num_bytes: int) -> float:
        """Seconds to wait before so many bytes are sent."""

    def release(self, reply: Reply) -> None:
        """The reply has been sent, or will not be."""


def seal_request(identity: Identity, *, run_id: str, to: str, sha256: str, offset: int, at: float) -> bytes:
    """Sign a question.

    Args:
        identity: Who asks: the key that holds a lease.
        run_id: The run.
        to: Peer id, base58, of who is asked.
        sha256: The shard.
        offset: First byte wanted.
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


def open_request(data: bytes, *, run_id: str, me: str, now: float) -> ShardRequest:
    """Check a question from outside. Whether its signer is served is for the caller to decide.

    Args:
        data: Bytes from a peer.
        run_id: The run that it must be about.
        me: This peer's id, base58.
        now: UTC seconds.

    Raises:
        RecordError: Malformed, too long, of another run, or put to another peer.
        VersionError: Another protocol version.
        ExpiredError: Not put now.
        SignatureError: The signature does not hold.
    """
    raw = parse_json(data, max_bytes=MAX_REQUEST_BYTES)
    if isinstance(raw, dict) and isinstance(raw.get("version"), int):
        require_protocol(raw["version"])
    try:
        request = ShardRequest.model_validate(raw)
    except ValidationError as error:
        raise RecordError(f"This is not a question for a shard: {error.errors()[0]['msg']}.") from error
    if (request.run_id, request.to) != (run_id, me):
        raise RecordError(f"The question is put to {request.to} of run {request.run_id}.")
    if abs(now - request.at) > _MAX_AGE_S:
        raise ExpiredError(f"The question was put {now - request.at:.0f} s ago.")
    body = request.model_dump(exclude={"signature"})
    verify_signature(request.signer, _DOMAIN + canonical_bytes(body), request.signature)
    return request
