"""What the DHT should hold, as a function of the state: records are stored again before they expire, always later."""

from __future__ import annotations

from dataclasses import dataclass, field

from paris.coordinator.state.model import State
from paris.protocol.envelope import Envelope, seal
from paris.protocol.keys import subkey_of
from paris.protocol.manifest import Manifest, split_manifest
from paris.protocol.records import Lease, Payload, RunSpec, Verdict
from paris.protocol.signing import Identity

LIFE_S = 900.0
"""Life of a coordinator's record in the DHT; it is stored again at a third of it."""
_KEPT_ATTEMPTS = 3


def wanted_records(spec: RunSpec, manifests: list[Manifest], state: State) -> list[Payload]:
    """Every payload that the run's peers should be able to read now."""
    records: list[Payload] = [spec]
    for manifest in manifests:
        records += split_manifest(manifest)
    records += [task.task for task in state.tasks.values()]
    records += [held.lease for held in state.leases.values() if _is_recent(held.lease, state)]
    records += [s.verdict for s in state.submissions.values() if s.verdict is not None and _is_recent(s.verdict, state)]
    records += [task.registration for task in state.tasks.values() if task.registration is not None]
    return records


def _is_recent(record: Lease | Verdict, state: State) -> bool:
    """Of a task's attempts the last few: older ones nobody waits for, and a dictionary in the DHT is sent whole."""
    return record.attempt > state.tasks[record.task_id].task.attempt - _KEPT_ATTEMPTS


@dataclass
class Publisher:
    """Decides which records are due, and seals them with growing sequence and expiry.

    Args:
        identity: The run's key.
        run_id: The run.
    """

    identity: Identity
    run_id: str
    _sealed: dict[tuple[str, str], Envelope[Payload]] = field(default_factory=dict)
    _last_sequence: int = 0

    def due(self, records: list[Payload], now: float) -> list[Envelope[Payload]]:
        """Seal the records that are new, changed, or past a third of their life.

        Args:
            records: All that should be readable.
            now: UTC seconds.

        Returns:
            Envelopes to store now.
        """
        envelopes = []
        for payload in records:
            place = (type(payload).kind, _place(payload, self.identity.public_key))
            known = self._sealed.get(place)
            if known is not None and known.payload == payload and now - known.issued_at < LIFE_S / 3:
                continue
            envelope = seal(
                payload,
                self.identity,
                run_id=self.run_id,
                sequence=self._next_sequence(now),
                issued_at=now,
                expires_at=now + LIFE_S,
            )
            self._sealed[place] = envelope
            envelopes.append(envelope)
        return envelopes

    def forget(self, envelopes: list[Envelope[Payload]]) -> None:
        """Have these sealed again at the next call: storing them failed."""
        for envelope in envelopes:
            self._sealed.pop((envelope.kind, _place(envelope.payload, envelope.signer)), None)

    def forget_all(self) -> None:
        """Have everything sealed again at the next call: our peer was started anew and holds nothing."""
        self._sealed.clear()

    def _next_sequence(self, now: float) -> int:
        """Milliseconds, so that a restarted coordinator goes on above what it wrote before."""
        self._last_sequence = max(self._last_sequence + 1, int(now * 1000))
        return self._last_sequence


def _place(payload: Payload, signer: str) -> str:
    cluster = getattr(payload, "cluster", "")
    return f"{cluster}/{subkey_of(payload, signer)}"
