"""Admission by lease: who works for the run shows the lease in each record, so nobody else takes a place at a peer.

Heartbeats, submissions and answers carry the lease that the coordinator sealed. Keys are free, leases are not: the
number of such records is bounded by the number of leases that were granted.
"""

from __future__ import annotations

from collections import OrderedDict

from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.records import Answer, Heartbeat, Lease, Payload, Submission
from paris.protocol.refusals import Reason, Refusal

LEASE_GRACE_S = 7 * 86400.0
"""How long after its end a lease still admits records: late work is verified, and the coordinator may be down for a
weekend, in which no lease is renewed."""
_MEMORY = 4096
Admitted = Heartbeat | Submission | Answer
"""The kinds that need a lease."""


class LeaseGate:
    """Checks the leases in the records of one run; a lease that was checked once is remembered.

    Args:
        run_id: The run.
        coordinator: The run's pinned public key; None accepts the key whose fingerprint is in the run id.
    """

    def __init__(self, run_id: str, coordinator: str | None) -> None:
        self._run_id, self._coordinator = run_id, coordinator
        self._checked: OrderedDict[str, Lease] = OrderedDict()

    def require_lease(self, envelope: Envelope[Payload], now: float) -> None:
        """Check that a volunteer's record may take a place.

        Args:
            envelope: Of any kind; only heartbeats, submissions and answers need a lease.
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
