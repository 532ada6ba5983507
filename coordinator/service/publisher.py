"""Which records the DHT should hold, and when each is due: records are stored again before they expire."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Iterator, Sequence

from paris.coordinator.errors import SignerError
from paris.coordinator.run.lives import LIFE_S, life_s
from paris.coordinator.state.indexes import indexes_of, unsettled
from paris.coordinator.state.model import LeaseState, State
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.audits import AUDIT_PATIENCE_S
from paris.protocol.clock import Clock
from paris.protocol.envelope import Envelope
from paris.protocol.keys import subkey_of
from paris.protocol.payload import Payload
from paris.protocol.run_records import ManifestPart, RunSpec
from paris.protocol.sealer import Sealer
from paris.protocol.summary import summarise
from paris.protocol.work_records import Lease

logger = logging.getLogger(__name__)
_KEPT_ATTEMPTS, _KEPT_OF_MANY, _MANY_TASKS = 3, 2, 512
"""Of each task, so that all fit under one key; the last but one has the verdict that its volunteer waits for."""


def records_to_publish(spec: RunSpec, manifests: Sequence[ManifestPart], state: State, now: float) -> list[Payload]:
    """Every payload that the run's peers should be able to read now, UTC seconds."""
    records: list[Payload] = [spec, *manifests]
    tasks = [task.task for task in state.tasks.values()]
    records += [summarise(tasks), *tasks] if tasks else []
    of_task, kept = indexes_of(state).of_task, _KEPT_OF_MANY if len(state.tasks) > _MANY_TASKS else _KEPT_ATTEMPTS
    for task_id in of_task.names():
        records += _of_leases(state, [state.leases[lease_id] for lease_id in of_task.of(task_id)], kept, now)
    audits = (state.leases[lease_id].lease for lease_id in indexes_of(state).unused_leases.ids())
    # An audit's lease is read by its auditor alone, also to learn that the audit arrived.
    records += [lease for lease in audits if lease.audit and now <= lease.expires_at + 2 * AUDIT_PATIENCE_S]
    records += [known.challenge for known in unsettled(state) if known.challenge is not None]
    records += [task.registration for task in state.tasks.values() if task.registration is not None]
    return records


def _of_leases(state: State, leases: list[LeaseState], kept: int, now: float) -> Iterator[Payload]:
    """Of a task's leases those that somebody waits for, and the verdicts on the last attempts.

    No node waits for older ones, and a dictionary in the DHT is sent whole. The last are counted among the leases that
    there are: numbers are left out when a run is restored.
    """
    oldest = heapq.nlargest(kept, {held.lease.attempt for held in leases})[-1]
    for held in leases:
        known, is_recent = state.submissions.get(held.lease.lease_id), held.lease.attempt >= oldest
        verdict = None if known is None else known.verdict
        if is_recent or _is_awaited(held.lease, now, has_verdict=verdict is not None):
            yield held.lease
        if is_recent and verdict is not None:
            yield verdict


def _is_awaited(lease: Lease, now: float, *, has_verdict: bool) -> bool:
    """Also an old lease whose late work may still come: each leg is an attempt, and a laptop sleeps over many.

    One that was taken back is told until it would have ended: of parallel leases all but one are.
    """
    if lease.state == "granted":
        return not has_verdict and now <= lease.expires_at + LEASE_GRACE_S
    return now <= lease.expires_at


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
        self._unseen: set[tuple[str, str]] = set()
        """Those sealed that were not returned yet: an error came between."""

    def due(self, records: list[Payload]) -> list[Envelope[Payload]]:
        """Seal the records that are new, changed, or past a third of their life.

        Args:
            records: All that should be readable.

        Returns:
            Envelopes to store now. Where the signer refuses after some, those; the next call goes on from there.

        Raises:
            SignerError: It refuses all, or does not answer.
            DatabaseError, DeposedError: As of the sealer's sequences; what was sealed is returned by the next call.
        """
        wanted = {_place(payload, self._sealer.public_key): payload for payload in records}
        self._sealed = {place: known for place, known in self._sealed.items() if place in wanted}
        self._unseen &= wanted.keys()
        try:
            self._seal(wanted)
        except SignerError as error:
            if not self._unseen:
                raise
            logger.warning("%d records are published, the others later: %s", len(self._unseen), error.what)
        envelopes = [self._sealed[place][0] for place in wanted if place in self._unseen]
        self._unseen.clear()
        return envelopes

    def _seal(self, wanted: dict[tuple[str, str], Payload]) -> None:
        """Each is kept as it is made: a signature that was asked for in vain would be asked for again."""
        now = self._clock()
        for place, payload in wanted.items():
            known = self._sealed.get(place)
            if known is None or now - known[1] >= LIFE_S / 3 or _differs(payload, known[0].payload):
                self._sealed[place] = self._sealer.seal(payload, life_s(payload.kind)), now
                self._unseen.add(place)

    def republish(self, envelopes: list[Envelope[Payload]]) -> None:
        """Make these due again: storing them failed."""
        for envelope in envelopes:
            self._sealed.pop(_place(envelope.payload, envelope.signer), None)

    def republish_all(self) -> None:
        """Make everything due again: a restarted peer holds no records, and a clock that jumped made them invalid."""
        self._sealed.clear()
        self._unseen.clear()


def _differs(one: Payload, other: Payload) -> bool:
    """Whether two payloads differ; most are the same object, and are not compared field by field."""
    return one is not other and one != other


def _place(payload: Payload, signer: str) -> tuple[str, str]:
    """Kind and subkey; the kind's key in the DHT differs by cluster."""
    return payload.kind, f"{getattr(payload, 'cluster', '')}/{subkey_of(payload, signer)}"
