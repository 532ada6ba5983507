"""Which records the DHT should hold, and when each is due: records are stored again before they expire."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping

from paris.coordinator.state.model import State
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.audits import AUDIT_PATIENCE_S
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.keys import subkey_of
from paris.protocol.manifest import Manifest, split_manifest
from paris.protocol.payload import Payload
from paris.protocol.run_records import RunSpec
from paris.protocol.sealer import Sealer
from paris.protocol.work_records import Lease

LIFE_S = 900.0
"""Life of a coordinator's record in the DHT; it is stored again at a third of it."""
_KEPT_ATTEMPTS = 3


def records_to_publish(spec: RunSpec, manifests: list[Manifest], state: State, now: float) -> list[Payload]:
    """Every payload that the run's peers should be able to read now, UTC seconds."""
    records: list[Payload] = [spec]
    for manifest in manifests:
        records += split_manifest(manifest)
    records += [task.task for task in state.tasks.values()]
    oldest = _oldest_recent(state)
    records += [held.lease for held in state.leases.values() if _is_awaited(held.lease, state, oldest, now)]
    records += [s.challenge for s in state.submissions.values() if s.challenge is not None]
    verdicts = [s.verdict for s in state.submissions.values() if s.verdict is not None]
    records += [verdict for verdict in verdicts if verdict.attempt >= oldest.get(verdict.task_id, 0)]
    records += [task.registration for task in state.tasks.values() if task.registration is not None]
    return records


def _oldest_recent(state: State) -> dict[str, int]:
    """The oldest of each task's last attempts: no node waits for older ones, and a dictionary in the DHT is sent whole.

    Counted among the leases that there are: numbers are left out when a run is restored.
    """
    attempts: dict[str, set[int]] = {}
    for held in state.leases.values():
        attempts.setdefault(held.lease.task_id, set()).add(held.lease.attempt)
    return {task_id: heapq.nlargest(_KEPT_ATTEMPTS, found)[-1] for task_id, found in attempts.items()}


def _is_awaited(lease: Lease, state: State, oldest: Mapping[str, int], now: float) -> bool:
    """Also an old lease whose late work may still come: each leg is an attempt, and a laptop sleeps over many.

    One that was taken back is told until it would have ended: of parallel leases all but one are. An audit's
    lease is read by its auditor alone, also to learn that the audit arrived.
    """
    if lease.audit is not None:
        return now <= lease.expires_at + 2 * AUDIT_PATIENCE_S
    submission = state.submissions.get(lease.lease_id)
    has_verdict = submission is not None and submission.verdict is not None
    may_come = lease.state == "granted" and not has_verdict and now <= lease.expires_at + LEASE_GRACE_S
    is_news = lease.state != "granted" and now <= lease.expires_at
    return may_come or is_news or lease.attempt >= oldest[lease.task_id]


class Publisher:
    """Seals the records that are due.

    Args:
        sealer: Signs them.
        clock: Seconds that only grow: a wall clock that was set back would let records expire.
    """

    def __init__(self, sealer: Sealer, clock: Clock = time.monotonic) -> None:
        self._sealer, self._clock = sealer, clock
        self._sealed: dict[tuple[str, str], tuple[Envelope[Payload], float]] = {}
        """Each record, and when it was sealed."""

    def due(self, records: list[Payload]) -> list[Envelope[Payload]]:
        """Seal the records that are new, changed, or past a third of their life.

        Args:
            records: All that should be readable.

        Returns:
            Envelopes to store now.
        """
        now = self._clock()
        places = {_place(payload, self._sealer.public_key) for payload in records}
        self._sealed = {place: envelope for place, envelope in self._sealed.items() if place in places}
        envelopes = []
        for payload in records:
            place = _place(payload, self._sealer.public_key)
            known = self._sealed.get(place)
            if known is not None and known[0].payload == payload and now - known[1] < LIFE_S / 3:
                continue
            envelope = self._sealer.seal(payload, LIFE_S)
            self._sealed[place] = envelope, now
            envelopes.append(envelope)
        return envelopes

    def republish(self, envelopes: list[Envelope[Payload]]) -> None:
        """Make these due again: storing them failed."""
        for envelope in envelopes:
            self._sealed.pop(_place(envelope.payload, envelope.signer), None)

    def republish_all(self) -> None:
        """Make everything due again: a restarted peer holds no records, and a clock that jumped made them invalid."""
        self._sealed.clear()


def _place(payload: Payload, signer: str) -> tuple[str, str]:
    """Kind and subkey; the kind's key in the DHT differs by cluster."""
    return payload.kind, f"{getattr(payload, 'cluster', '')}/{subkey_of(payload, signer)}"
