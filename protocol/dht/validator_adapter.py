"""The judge as hivemind's record validator, for storing and reading."""

from __future__ import annotations

import logging
from typing import Any

from hivemind.dht.routing import DHTID
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.utils.serializer import MSGPackSerializer

from paris.protocol.keys import all_keys, own_place
from paris.protocol.limits import MAX_RECORD_BYTES, MAX_SUBKEY_CHARS
from paris.protocol.refusals import Refused
from paris.protocol.validator import Accepted, RecordJudge

_log = logging.getLogger(__name__)
_PACKING_BYTES = 8


class JudgeValidator(RecordValidatorBase):
    """Passes records to a `RecordJudge`; maps hivemind's hashed keys back to names.

    Args:
        judge: The judge of this peer.
        run_id: The run.
    """

    def __init__(self, judge: RecordJudge, run_id: str) -> None:
        self._judge, self._run_id = judge, run_id
        self._names = {DHTID.generate(source=key).to_bytes(): key for key in all_keys(run_id)}

    def validate(self, record: DHTRecord) -> bool:
        """Whether hivemind may store or return a record. Never raises, because that would fail the whole batch."""
        try:
            verdict = self._verdict(record)
        except Exception:  # a bug of ours must not end the RPC handler
            _log.exception("The judge failed on a record of %d bytes.", len(record.value))
            return False
        if isinstance(verdict, Refused):
            _log.debug("Refused a record: %s: %s", verdict.reason, verdict.detail)
        return isinstance(verdict, Accepted)

    def _verdict(self, record: DHTRecord) -> Accepted | Refused:
        subkey = _unpacked(record.subkey, MAX_SUBKEY_CHARS * 4 + _PACKING_BYTES)
        value = _unpacked(record.value, MAX_RECORD_BYTES + _PACKING_BYTES)
        name = self._names.get(record.key) or self._own_name(record.key, subkey)
        return self._judge.judge(name, subkey, value, record.expiration_time)

    def _own_name(self, key: bytes, subkey: Any) -> str | None:
        """The name of a volunteer's key, which the subkey tells."""
        place = own_place(self._run_id, subkey)
        return place[0] if place is not None and DHTID.generate(source=place[0]).to_bytes() == key else None


class _NotPacked:
    """Represents bytes that are not msgpack; the judge refuses the type."""


def _unpacked(data: bytes, max_bytes: int) -> Any:
    if len(data) > max_bytes:
        return data  # still bytes: the judge refuses it as an oversized value, or as a subkey of the wrong type
    try:
        return MSGPackSerializer.loads(data)
    except Exception:  # msgpack and its extension hooks raise various types
        return _NotPacked()
