"""The line: a volunteer asks the coordinator directly, and is told what concerns it. For a stream of libp2p.

    request     a message of one or two parts: a head, and a sealed record of the volunteer
                {"at":..., "known":["<16 hex>", ...], "run_id":"...", "signature":"<128 hex>", "signer":"<64 hex>",
                 "to":"<peer id>", "version":1}
    reply       a message of a head, and the coordinator's sealed records that the volunteer lacks
                {"ask_again_s":20.0, "gone":["<16 hex>", ...], "outcome":"stored", "place":null, "reason":"",
                 "version":1}

    message     4 bytes: the length of the rest; then each part: 4 bytes: its length; its bytes

Heads are canonical JSON, numbers big-endian. The request is signed, so that nobody uses up what a key may ask; it names
the receiving peer, so that nobody can forward it. The reply is as trustworthy as the connection to a peer that the
run's description names; the records in it are signed.

What a volunteer has is named by marks, digests of contents: a record that was only sealed anew is not sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from paris.protocol.canonical import canonical_bytes, digest, parse_json
from paris.protocol.errors import ExpiredError, RecordError
from paris.protocol.fields import PublicKey, Seconds, Signature, Text, Timestamp
from paris.protocol.limits import MAX_RECORD_BYTES
from paris.protocol.payload import Payload
from paris.protocol.sealer import Sealer
from paris.protocol.signing import verify_signature
from paris.protocol.version import PROTOCOL_VERSION, require_protocol

MAX_KNOWN = 32
"""Records of the coordinator that a volunteer keeps."""
_LENGTH_BYTES = 4
_MAX_HEAD_BYTES = 2048
MAX_REQUEST_BYTES = _MAX_HEAD_BYTES + MAX_RECORD_BYTES + 2 * _LENGTH_BYTES
MAX_REPLY_BYTES = _MAX_HEAD_BYTES + MAX_KNOWN * (MAX_RECORD_BYTES + _LENGTH_BYTES) + _LENGTH_BYTES
_DOMAIN = b"paris-line-request-v1\n"
_MAX_AGE_S = 30.0
_MARK_DIGITS = 16
Mark = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
LineOutcome = Literal["none", "stored", "full", "refused"]
"""What became of the record in a request; "none": there was none."""


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Annotated[int, Field(ge=0, le=10**6)]


H = TypeVar("H", bound=_Head)


class RequestHead(_Head):
    """Who asks, and what it has."""

    run_id: Annotated[str, StringConstraints(max_length=80)]
    to: Annotated[str, StringConstraints(max_length=80)]
    """Peer id of the receiver, base58."""
    known: Annotated[tuple[Mark, ...], Field(max_length=MAX_KNOWN)]
    """Marks of the coordinator's records that the volunteer has."""
    at: Timestamp
    signer: PublicKey
    signature: Signature


class ReplyHead(_Head):
    """What became of the record, and when to ask again."""

    outcome: LineOutcome
    reason: Text = ""
    """Why the record was refused: a reason code and a sentence."""
    place: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Of the volunteer among those that wait for a task; None: it does not wait."""
    ask_again_s: Seconds
    gone: Annotated[tuple[Mark, ...], Field(max_length=MAX_KNOWN)] = ()
    """What the volunteer has and the coordinator does not tell any more."""


@dataclass(frozen=True)
class LineRequest:
    """A request with a valid signature; the record in it is not checked yet."""

    head: RequestHead
    record: bytes | None


@dataclass(frozen=True)
class LineReply:
    """A reply; the records in it are not checked yet."""

    head: ReplyHead
    records: tuple[bytes, ...]


@dataclass(frozen=True, eq=False)
class Taken:
    """A request that is being answered."""

    signer: str
    reply: Future[bytes]
    """It may fail, by a PeerError: the request is refused without a reply."""


class LineServer(Protocol):
    """Answers requests. Called from worker threads; must not raise."""

    def take(self, request: bytes, *, to: str, peer: str) -> Taken | None:
        """Take a request in; None refuses it without a reply.

        Args:
            request: Bytes from a stream.
            to: Peer id of the local peer.
            peer: Peer id of the other side, which the connection proves.
        """

    def hurry(self, taken: Taken) -> None:
        """Reply now to a request that has waited long enough."""


def mark_of(payload: Payload) -> str:
    """What names the content of a record: 16 hex digits."""
    content = {"kind": payload.kind, "payload": payload.model_dump(mode="json")}
    return digest(canonical_bytes(content))[:_MARK_DIGITS]


def seal_request(
    sealer: Sealer, *, run_id: str, to: str, known: Sequence[str], record: bytes | None, at: float
) -> bytes:
    """Sign a request.

    Args:
        sealer: Of the volunteer.
        run_id: The run.
        to: Peer id of the receiver, base58.
        known: Marks of the records that the volunteer has, at most `MAX_KNOWN`.
        record: A sealed record of the volunteer; None only asks.
        at: Now, UTC seconds.
    """
    body: dict[str, Any] = {
        "version": PROTOCOL_VERSION,
        "run_id": run_id,
        "to": to,
        "known": list(known),
        "at": float(at),
        "signer": sealer.public_key,
    }
    head = canonical_bytes({**body, "signature": sealer.sign(_DOMAIN + canonical_bytes(body))})
    return pack([head] if record is None else [head, record])


def open_request(data: bytes, *, run_id: str, to: str, now: float) -> LineRequest:
    """Parse and verify a request.

    Args:
        data: A message from a peer.
        run_id: The expected run.
        to: This peer's id, base58.
        now: UTC seconds.

    Raises:
        RecordError: Malformed, too long, of another run, or for another peer.
        VersionError: Another protocol version.
        ExpiredError: More than 30 s old, or from the future.
        SignatureError: The signature is invalid.
    """
    parts = unpack(data, max_parts=2)
    head = _head(parts[0], RequestHead)
    if (head.run_id, head.to) != (run_id, to):
        raise RecordError(f"The request is for peer {head.to} of run {head.run_id}.")
    if abs(now - head.at) > _MAX_AGE_S:
        raise ExpiredError(f"The request was made {now - head.at:.0f} s ago.")
    body = head.model_dump(mode="json", exclude={"signature"})
    verify_signature(head.signer, _DOMAIN + canonical_bytes(body), head.signature)
    return LineRequest(head, parts[1] if len(parts) == 2 else None)


def make_reply(head: ReplyHead, records: Sequence[bytes]) -> bytes:
    """The message of a reply."""
    return pack([canonical_bytes(head.model_dump(mode="json")), *records])


def open_reply(data: bytes) -> LineReply:
    """Parse a reply.

    Raises:
        RecordError: Malformed or too long.
        VersionError: Another protocol version.
    """
    parts = unpack(data, max_parts=1 + MAX_KNOWN)
    return LineReply(_head(parts[0], ReplyHead), tuple(parts[1:]))


def pack(parts: Sequence[bytes]) -> bytes:
    """The parts of a message, each after its length; the length of the whole is the stream's to write."""
    return b"".join(len(part).to_bytes(_LENGTH_BYTES, "big") + part for part in parts)


def unpack(data: bytes, *, max_parts: int) -> list[bytes]:
    """The parts of a message.

    Raises:
        RecordError: It has none, too many, or is cut off.
    """
    parts: list[bytes] = []
    start = 0
    while start < len(data) and len(parts) < max_parts:
        end = start + _LENGTH_BYTES + int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
        parts.append(data[start + _LENGTH_BYTES : end])
        start = end
    if not parts or start != len(data):
        raise RecordError(f"A message of {len(data)} bytes does not consist of 1 to {max_parts} whole parts.")
    return parts


def _head(data: bytes, kind: type[H]) -> H:
    raw = parse_json(data, max_bytes=_MAX_HEAD_BYTES)
    if isinstance(raw, dict) and isinstance(raw.get("version"), int):
        require_protocol(raw["version"])
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise RecordError(f"Not a head of the line: {error.errors()[0]['msg']}.") from error
