"""Who may take places at a peer: by a lease, or by work.

Heartbeats, submissions, answers and audits carry the lease that the coordinator sealed. Keys are free, leases are not:
the number of such records is bounded by the number of leases that were granted. A want comes before any lease; its key
has done the proof of work that the run asks for (`want_work.py`). Under a full key the best proven stay.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.invites import open_shown
from paris.protocol.payload import Payload
from paris.protocol.refusals import Reason, Refusal
from paris.protocol.run_records import RunSpec
from paris.protocol.want_work import work_bits
from paris.protocol.work_records import Answer, Audit, Heartbeat, Lease, Submission, Want

LEASE_GRACE_S = 7 * 86400.0
"""How long after its end a lease still admits records: late work is verified, and the coordinator may be down for a
weekend, in which no lease is renewed."""
_MEMORY = 16384
_MOST_KEYS = 65536
_INVITED, _LEASEHOLDER = 128, 256
"""Above any number of work bits."""
Admitted = Heartbeat | Submission | Answer | Audit
"""The kinds that need a lease."""


class Admission:
    """Checks leases and work in the records of one run; a lease that was checked once is remembered.

    Args:
        run_id: The run.
        coordinator: The run's pinned public key; None accepts the key whose fingerprint is in the run id.
    """

    def __init__(self, run_id: str, coordinator: str | None) -> None:
        self._run_id, self._coordinator = run_id, coordinator
        self._checked: OrderedDict[str, Lease] = OrderedDict()
        self._proven: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Rank of each key, and until when it holds."""

    def rank(self, signer: str, now: float) -> int:
        """How well a key is proven: by a lease, else by the bits of its work; 0 for an unknown one."""
        rank, until = self._proven.get(signer, (0, 0.0))
        return rank if now <= until else 0

    def note(self, envelope: Envelope[Payload], now: float) -> None:
        """Remember what a valid record proves of a key."""
        record = envelope.payload
        if isinstance(record, Lease):
            self._prove(record.volunteer, _LEASEHOLDER, record.expires_at + LEASE_GRACE_S)
        elif isinstance(record, Admitted) and record.lease is not None:
            self._prove(envelope.signer, _LEASEHOLDER, self._open(record.lease).expires_at + LEASE_GRACE_S)
        elif isinstance(record, Want) and self.rank(envelope.signer, now) < _LEASEHOLDER:
            bits = 0 if record.work is None else work_bits(self._run_id, envelope.signer, record.work)
            self._prove(envelope.signer, bits if record.invite is None else _INVITED, envelope.expires_at)

    def require_work(self, envelope: Envelope[Payload], spec: RunSpec | None, now: float) -> None:
        """Check the work or the invite of a want.

        Args:
            envelope: Of any kind.
            spec: The run's newest description; None asks for no work.
            now: UTC seconds.

        Raises:
            Refusal: Its invite is none of this run, or over, or copied from another's want; or it has no invite, and
                less work than the run asks for.
        """
        want = envelope.payload
        if not isinstance(want, Want):
            return
        if want.invite is not None:
            try:
                open_shown(cast(Envelope[Want], envelope), coordinator=self._coordinator, now=now)
            except ParisError as error:
                raise Refusal(Reason.BAD_INVITE, error.what) from error
            return
        if spec is None or spec.want_work_bits is None:
            return
        bits = 0 if want.work is None else work_bits(self._run_id, envelope.signer, want.work)
        if bits < spec.want_work_bits:
            what = f"The want of {envelope.signer[:12]}... has {bits} bits of work, the run asks for"
            raise Refusal(Reason.NO_WORK, f"{what} {spec.want_work_bits}.")

    def require_lease(self, envelope: Envelope[Payload], now: float) -> None:
        """Check that a volunteer's record may take a place.

        Args:
            envelope: Of any kind; only heartbeats, submissions, answers and audits need a lease.
            now: UTC seconds.

        Raises:
            Refusal: It carries none, or one of another run, volunteer or work, or one that ended more than
                `LEASE_GRACE_S` ago.
        """
        record = envelope.payload
        if not isinstance(record, Admitted):
            return
        if record.lease is None:
            raise Refusal(Reason.NO_LEASE, f"The {record.kind} record of {envelope.signer[:12]}... carries no lease.")
        lease = self._open(record.lease)
        granted = (lease.volunteer, lease.lease_id, lease.task_id, lease.attempt)
        if granted != (envelope.signer, record.lease_id, record.task_id, record.attempt):
            raise Refusal(Reason.FOREIGN_LEASE, f"The lease in the {record.kind} record was granted to other work.")
        if now > lease.expires_at + LEASE_GRACE_S:
            raise Refusal(Reason.LEASE_OVER, f"Lease {lease.lease_id[:8]} ended {now - lease.expires_at:.0f} s ago.")

    def _prove(self, signer: str, rank: int, until: float) -> None:
        self._proven[signer] = (rank, until)
        self._proven.move_to_end(signer)
        if len(self._proven) > _MOST_KEYS:
            self._proven.popitem(last=False)

    def _open(self, sealed: str) -> Lease:
        known = self._checked.get(sealed)
        if known is not None:
            self._checked.move_to_end(sealed)
            return known
        try:
            # The record in the DHT has a short life; the lease in it says itself when it ends.
            lease = open_envelope(sealed.encode(), run_id=self._run_id, coordinator=self._coordinator, now=None).payload
        except ParisError as error:
            raise Refusal(Reason.FOREIGN_LEASE, f"The lease is not valid: {error.what}") from error
        if not isinstance(lease, Lease):
            raise Refusal(Reason.FOREIGN_LEASE, f"A {lease.kind} record is no lease.")
        self._checked[sealed] = lease
        if len(self._checked) > _MEMORY:
            self._checked.popitem(last=False)
        return lease
