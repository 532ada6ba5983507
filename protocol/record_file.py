"""Sealed records as one file of the model repo, for the way through the Hub.

    {"every_s":60.0,"records":[{"expires_at":..., "kind":"lease", ...}, ...],"version":1}

A record has here the same bytes as elsewhere: it is canonical JSON within canonical JSON. `every_s` says how often the
coordinator looks for mailboxes; a mailbox has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.protocol.canonical import canonical_bytes, parse_json
from paris.protocol.errors import RecordError
from paris.protocol.fields import Seconds
from paris.protocol.limits import MAX_RECORD_BYTES
from paris.protocol.version import PROTOCOL_VERSION, require_protocol

_FRAME_BYTES = 128
MAX_MAILBOX_RECORDS = 8
"""Of one volunteer: its want, and heartbeat, submission, answer and audit of a lease or two."""
MAX_RUN_RECORDS = 8
"""Of the coordinator for everybody: the run's description and the summary of its tasks."""
MAX_OWN_RECORDS = 32
"""Of the coordinator for one volunteer."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Annotated[int, Field(ge=0, le=10**6)]
    records: list[dict[str, Any]]
    every_s: Seconds | None = None


@dataclass(frozen=True)
class RecordFile:
    """What such a file holds; its records are not checked yet."""

    records: tuple[bytes, ...]
    every_s: float | None = None


def max_file_bytes(max_records: int) -> int:
    """The largest size of a file with so many records."""
    return _FRAME_BYTES + max_records * (MAX_RECORD_BYTES + 1)


def pack_records(records: Sequence[bytes], every_s: float | None = None) -> bytes:
    """The file of sealed records.

    Args:
        records: Bytes of envelopes.
        every_s: As `RecordFile`.
    """
    head = b"" if every_s is None else b'"every_s":%s,' % canonical_bytes(float(every_s))
    return b'{%s"records":[%s],"version":%d}' % (head, b",".join(records), PROTOCOL_VERSION)


def open_record_file(data: bytes, *, max_records: int) -> RecordFile:
    """Parse a file from outside.

    Args:
        data: Its bytes.
        max_records: More are refused.

    Raises:
        RecordError: Malformed, too large, or with too many records.
        VersionError: Another version of the format.
    """
    raw = parse_json(data, max_bytes=max_file_bytes(max_records))
    if isinstance(raw, dict) and isinstance(raw.get("version"), int):
        require_protocol(raw["version"])
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise RecordError(f"Not a file of records: {error.errors()[0]['msg']}.") from error
    if len(file.records) > max_records:
        raise RecordError(f"The file has {len(file.records)} records, at most {max_records} are allowed.")
    return RecordFile(tuple(map(canonical_bytes, file.records)), file.every_s)
