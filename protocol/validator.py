"""Decides which records a peer stores and uses.

No hivemind, network or torch: `dht/validator_adapter.py` plugs the judge into a peer; it also checks records from files
and Hub repos. A refusal is a value with a reason; refusals are counted, not raised.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from paris.protocol.admission import Admission
from paris.protocol.canonical import digest
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ExpiredError, ParisError, SignatureError, VersionError
from paris.protocol.keys import BUCKETED, all_keys, bucket_of, own_place, own_subkey, subkey_of
from paris.protocol.limits import MAX_CLOCK_SKEW_S, MAX_NUM_BUCKETS, MAX_SUBKEY_CHARS
from paris.protocol.payload import Payload
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.refusals import Reason, Refusal, Refused
from paris.protocol.run_records import ManifestPart, RunSpec
from paris.protocol.work_records import Challenge, Holding, Lease, Verdict


@dataclass(frozen=True)
class Accepted:
    """The record is valid."""

    envelope: Envelope[Payload]


@dataclass(frozen=True)
class _Known:
    envelope: Envelope[Payload]
    data_digest: str


class RecordJudge:
    """Validates records of one run, and remembers the newest at each place (key and subkey).

    Belongs to the event loop of one peer; only `refusals` is thread-safe.

    Args:
        run_id: The run.
        coordinator: The run's pinned public key; None accepts the key whose fingerprint is in the run id.
        clock: UTC seconds now.
        memory: Number of places to remember; the least recently used is forgotten first. A reader of more places than
            that, each time around, remembers none of them: enough for the largest swarm.
    """

    def __init__(
        self, run_id: str, coordinator: str | None, clock: Callable[[], float] = time.time, *, memory: int = 65536
    ) -> None:
        self._run_id = run_id
        self._coordinator = coordinator
        self._clock = clock
        self._keys = all_keys(run_id)
        self._admission = Admission(run_id, coordinator)
        self._spec: RunSpec | None = None
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._memory = memory
        self._refusals: Counter[Reason] = Counter()

    @property
    def refusals(self) -> dict[str, int]:
        """Number of refused records by reason code."""
        return {str(reason): count for reason, count in self._refusals.items()}

    @property
    def spec(self) -> RunSpec | None:
        """The newest RunSpec; None before the first."""
        return self._spec

    def rank(self, subkey: str) -> int:
        """How well the signer of a volunteer's record is proven: under a full key the best proven stay."""
        return self._admission.rank(subkey.partition(".")[0], self._clock())

    def judge(self, key: str | None, subkey: object, value: object, expires_at: float) -> Accepted | Refused:
        """Validate a record before storing it or after reading it.

        Args:
            key: Name of the DHT key (`keys.dht_key`); None if unknown.
            subkey: Unchecked; of any type.
            value: Unchecked; should be the envelope's bytes.
            expires_at: The DHT's expiry, UTC seconds.

        Returns:
            Accepted or Refused; never raises. A refusal does not change the memory.
        """
        try:
            return Accepted(self._check(key, subkey, value, expires_at))
        except Refusal as refusal:
            self._refusals[refusal.refused.reason] += 1
            return refusal.refused

    def _check(self, key: str | None, subkey: object, value: object, expires_at: float) -> Envelope[Payload]:
        key, kind, part = self._known_key(key, subkey)
        if subkey is None:
            raise Refusal(Reason.PLAIN_VALUE, f"{key} is a dictionary; a plain value would erase it.")
        if not isinstance(subkey, str) or len(subkey) > MAX_SUBKEY_CHARS:
            raise Refusal(Reason.WRONG_SUBKEY, f"The subkey is not a string of at most {MAX_SUBKEY_CHARS} characters.")
        if not isinstance(value, bytes):
            raise Refusal(Reason.MALFORMED, "The value is not a byte string.")
        if len(value) > RECORD_RULES[kind].max_bytes:
            raise Refusal(
                Reason.OVERSIZED, f"{len(value)} bytes, a {kind} record has at most {RECORD_RULES[kind].max_bytes}."
            )
        now = self._clock()
        known = self._recall((key, subkey), now)
        data_digest = digest(value)
        if known is not None and known.data_digest == data_digest:
            _require_expiry(known.envelope, expires_at)
            return known.envelope
        envelope = self._open(value, now)
        _require_expiry(envelope, expires_at)
        self._require_place(envelope, kind, part, subkey)
        self._admission.require_lease(envelope, now)
        self._admission.require_work(envelope, self._spec, now)
        if known is not None:
            _require_newer(envelope, known.envelope)
        self._remember((key, subkey), _Known(envelope, data_digest))
        self._admission.note(envelope, now)
        return envelope

    def _known_key(self, key: str | None, subkey: object) -> tuple[str, str, int | str | None]:
        """A key of the run, the kind of records there, and its cluster, bucket or volunteer."""
        own = own_place(self._run_id, subkey)
        if own is not None and own[0] == key:
            return own
        if key is None or key not in self._keys:
            raise Refusal(Reason.UNKNOWN_KEY, f"Run {self._run_id!r} has no such key.")
        return key, *self._keys[key]

    def _open(self, data: bytes, now: float) -> Envelope[Payload]:
        try:
            return open_envelope(data, run_id=self._run_id, coordinator=self._coordinator, now=now)
        except ParisError as error:
            raise Refusal(_reason_of(error), error.what) from error

    def _require_place(self, envelope: Envelope[Payload], kind: str, part: int | str | None, subkey: str) -> None:
        """Refuse a valid record in the wrong place."""
        payload = envelope.payload
        if isinstance(part, str) and isinstance(payload, Lease | Challenge | Verdict):
            subkey_there = own_subkey(payload)
        else:
            subkey_there = subkey_of(payload, envelope.signer)
        if envelope.kind != kind:
            raise Refusal(Reason.WRONG_KIND, f"A {envelope.kind} record is under a key for {kind} records.")
        if subkey != subkey_there:
            raise Refusal(Reason.WRONG_SUBKEY, f"A {kind} record of {envelope.signer[:12]}... is in a foreign subkey.")
        if isinstance(payload, ManifestPart | Holding) and payload.cluster != part:
            raise Refusal(Reason.WRONG_PART, f"A {kind} of cluster {payload.cluster} is under cluster {part}.")
        if kind in BUCKETED and not self._may_be_in(envelope.signer, part):
            raise Refusal(Reason.WRONG_BUCKET, f"{envelope.signer[:12]}... does not belong to bucket {part}.")

    def _may_be_in(self, signer: str, bucket: int | str | None) -> bool:
        if self._spec is not None:
            return bucket == bucket_of(signer, self._spec.num_buckets)
        return any(bucket == bucket_of(signer, count) for count in range(1, MAX_NUM_BUCKETS + 1))

    def _recall(self, place: tuple[str, str], now: float) -> _Known | None:
        known = self._known.get(place)
        if known is None:
            return None
        # From the future: the clock of this machine was ahead when it was remembered, and would block the place.
        if known.envelope.expires_at <= now or known.envelope.issued_at > now + MAX_CLOCK_SKEW_S:
            del self._known[place]
            return None
        self._known.move_to_end(place)
        return known

    def _remember(self, place: tuple[str, str], known: _Known) -> None:
        if isinstance(known.envelope.payload, RunSpec):
            self._spec = known.envelope.payload
        self._known[place] = known
        while len(self._known) > self._memory:
            self._known.popitem(last=False)


def _require_expiry(envelope: Envelope[Payload], expires_at: float) -> None:
    # The DHT keeps the later expiry: a free choice of it would let anybody block a place for ever.
    if envelope.expires_at != expires_at:
        raise Refusal(Reason.EXPIRY_MISMATCH, "The DHT's expiry differs from the signed one.")


def _require_newer(envelope: Envelope[Payload], known: Envelope[Payload]) -> None:
    if envelope.sequence <= known.sequence:
        raise Refusal(
            Reason.STALE_SEQUENCE, f"Sequence {envelope.sequence} is not greater than the known {known.sequence}."
        )
    # Sequence and expiry must agree on which record is newer: peers without this memory go by expiry alone.
    if envelope.expires_at <= known.expires_at:
        raise Refusal(Reason.EXPIRY_NOT_LATER, f"Sequence {envelope.sequence} is greater, its expiry not later.")


def _reason_of(error: ParisError) -> Reason:
    match error:
        case VersionError():
            return Reason.WRONG_VERSION
        case SignatureError():
            return Reason.BAD_SIGNATURE
        case ExpiredError():
            return Reason.EXPIRED
        case _:
            return Reason.MALFORMED
