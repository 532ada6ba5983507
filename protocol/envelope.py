"""The signed envelope of every record: the same bytes in the DHT, in a file and in a Hub repo.

    {"expires_at":..., "issued_at":..., "kind":"task", "payload":{...}, "run_id":"...", "sequence":7,
     "signature":"<128 hex>", "signer":"<64 hex>", "version":1}

The signature covers a domain prefix and the canonical bytes of all other fields. The prefix makes it invalid for any
other purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from paris.protocol.canonical import canonical_bytes, parse_json
from paris.protocol.errors import ExpiredError, RecordError, SignatureError
from paris.protocol.fields import PublicKey
from paris.protocol.limits import MAX_CLOCK_SKEW_S, MAX_RECORD_BYTES
from paris.protocol.payload import Payload
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.runid import key_belongs_to_run
from paris.protocol.signing import Signer, verify_signature
from paris.protocol.version import PROTOCOL_VERSION, require_protocol

DOMAIN = b"paris-record-v1\n"
P = TypeVar("P", bound=Payload)


class _Wire(BaseModel):
    """The envelope as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    kind: Annotated[str, StringConstraints(max_length=16)]
    version: Annotated[int, Field(ge=0, le=10**6)]
    run_id: Annotated[str, StringConstraints(max_length=80)]
    issued_at: Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)]
    expires_at: Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)]
    sequence: Annotated[int, Field(ge=0, lt=2**53)]
    payload: dict[str, Any]
    signer: PublicKey
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


@dataclass(frozen=True)
class Envelope(Generic[P]):
    """A record with a valid signature. Made only by `seal` and `open_envelope`."""

    payload: P
    run_id: str
    issued_at: float
    expires_at: float
    sequence: int
    signer: str
    data: bytes
    """The exact signed bytes."""

    @property
    def kind(self) -> str:
        """Name of the record kind, a key of `RECORD_RULES`."""
        return self.payload.kind


def seal(
    payload: P, identity: Signer, *, run_id: str, sequence: int, issued_at: float, expires_at: float
) -> Envelope[P]:
    """Sign a payload.

    Args:
        payload: The content.
        identity: The signer.
        run_id: The run.
        sequence: Greater than in every earlier record under the same key and subkey.
        issued_at: Now, UTC seconds.
        expires_at: UTC seconds.

    Raises:
        RecordError: The record is larger than its kind allows.
    """
    kind = payload.kind
    body = {
        "kind": kind,
        "version": PROTOCOL_VERSION,
        "run_id": run_id,
        "issued_at": float(issued_at),
        "expires_at": float(expires_at),
        "sequence": sequence,
        "payload": payload.model_dump(mode="json"),
        "signer": identity.public_key,
    }
    signature = identity.sign(DOMAIN + canonical_bytes(body))
    data = canonical_bytes({**body, "signature": signature})
    if len(data) > RECORD_RULES[kind].max_bytes:
        raise RecordError(
            f"The {kind} record would have {len(data)} bytes, at most {RECORD_RULES[kind].max_bytes} are allowed."
        )
    return Envelope(payload, run_id, float(issued_at), float(expires_at), sequence, identity.public_key, data)


def open_envelope(data: bytes, *, run_id: str, coordinator: str | None, now: float | None) -> Envelope[Payload]:
    """Parse and verify a record from outside.

    Args:
        data: Bytes from a peer, a file or a Hub repo.
        run_id: The expected run.
        coordinator: The run's pinned public key; None accepts the key whose fingerprint is in the run id.
        now: UTC seconds; None skips the check of expiry (for old records in files).

    Raises:
        RecordError: Malformed, too large, of another run, or of an unknown kind.
        VersionError: Another protocol version.
        SignatureError: Invalid, or a volunteer's where only the coordinator may sign.
        ExpiredError: Expired, from the future, or with a longer life than its kind allows.
    """
    raw = parse_json(data, max_bytes=MAX_RECORD_BYTES)
    if isinstance(raw, dict) and isinstance(raw.get("version"), int):
        require_protocol(raw["version"])
    try:
        wire = _Wire.model_validate_json(data)
    except ValidationError as error:
        raise RecordError(f"Not an envelope: {_first_problem(error)}.") from error
    rule = RECORD_RULES.get(wire.kind)
    if rule is None:
        raise RecordError(f"Unknown record kind {wire.kind!r}.")
    if wire.run_id != run_id:
        raise RecordError(f"The record is of run {wire.run_id!r}, not of {run_id!r}.")
    if len(data) > rule.max_bytes:
        raise RecordError(f"The {wire.kind} record has {len(data)} bytes, at most {rule.max_bytes} are allowed.")
    if rule.signer == "coordinator":
        _require_coordinator(wire.signer, run_id, coordinator)
    unsigned = {name: value for name, value in raw.items() if name != "signature"}
    verify_signature(wire.signer, DOMAIN + canonical_bytes(unsigned), wire.signature)
    if canonical_bytes(raw) != data:
        raise RecordError("The record is not in canonical form.")
    if now is not None:
        _require_valid_times(wire, rule.max_life_s, now)
    try:
        payload = rule.payload.model_validate_json(canonical_bytes(wire.payload))
    except ValidationError as error:
        raise RecordError(f"Not a {wire.kind} record: {_first_problem(error)}.") from error
    return Envelope(payload, wire.run_id, wire.issued_at, wire.expires_at, wire.sequence, wire.signer, data)


def _require_coordinator(signer: str, run_id: str, coordinator: str | None) -> None:
    allowed = signer == coordinator if coordinator is not None else key_belongs_to_run(signer, run_id)
    if not allowed:
        raise SignatureError(
            f"The record is signed by {signer[:12]}..., which is not the key of run {run_id!r}.",
            "Do not trust this source; ask the organiser for the run's address.",
        )


def _require_valid_times(wire: _Wire, max_life_s: float, now: float) -> None:
    if wire.expires_at <= now:
        raise ExpiredError(f"The {wire.kind} record expired {now - wire.expires_at:.0f} s ago.")
    if wire.issued_at > now + MAX_CLOCK_SKEW_S:
        raise ExpiredError(
            f"The {wire.kind} record was issued {wire.issued_at - now:.1f} s in the future.",
            "Set the clock of this machine (NTP).",
        )
    if wire.expires_at - wire.issued_at > max_life_s + MAX_CLOCK_SKEW_S:
        raise ExpiredError(f"The {wire.kind} record has a life of more than {max_life_s:.0f} s.")


def _first_problem(error: ValidationError) -> str:
    details = error.errors()[0]
    where = ".".join(str(part) for part in details["loc"]) or "(whole)"
    return f"{where}: {details['msg']}"
