"""Which of the coordinator's records concern one volunteer, and where it stands among those that wait."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from paris.coordinator.service.ways import Shown
from paris.coordinator.state.model import VolunteerState
from paris.protocol.payload import Payload
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.summary import Summary
from paris.protocol.work_records import Challenge, Lease, Verdict

_MOST_LEASES = 8
_MOST_VERDICTS = 6
"""Of one volunteer, those on the last work that came; and of challenges."""


@dataclass(frozen=True)
class Told:
    """What the coordinator tells after a step. Safe to use from several threads: what it finds out does not change."""

    shown: Shown
    want_life_s: float
    """For how long a volunteer that was not heard from is taken to be there."""
    now: float
    """UTC seconds."""

    def to(self, volunteer: str, task_id: str | None = None, lease_id: str | None = None) -> list[Payload]:
        """The records for a volunteer, at most `line.MAX_KNOWN`.

        Args:
            volunteer: Its public key.
            task_id: A task that it asks about, beside those of its leases.
            lease_id: Whose verdict and challenge it waits for, however old.
        """
        own = self._own.get(volunteer, [])
        leases = [record for record in own if isinstance(record, Lease)]
        leases = sorted(leases, key=lambda lease: lease.granted_at)[-_MOST_LEASES:]
        names = dict.fromkeys([*(lease.task_id for lease in leases), *([] if task_id is None else [task_id])])
        tasks = [self._tasks[name] for name in names if name in self._tasks]

        def order(record: Verdict | Challenge) -> tuple[bool, float]:
            known = self.shown.state.submissions.get(record.lease_id)
            return record.lease_id == lease_id, 0.0 if known is None else known.seen_at

        verdicts = sorted((record for record in own if isinstance(record, Verdict)), key=order)[-_MOST_VERDICTS:]
        challenges = sorted((record for record in own if isinstance(record, Challenge)), key=order)[-_MOST_VERDICTS:]
        return [*self._for_all, *leases, *tasks, *verdicts, *challenges]

    def place(self, volunteer: str) -> int | None:
        """Where a volunteer stands among those that wait, by how long they have; None: it does not wait."""
        return self._places.get(volunteer)

    def waits(self, volunteer: str) -> bool:
        """Whether a volunteer is known to wait, and to be there."""
        known = self.shown.state.volunteers.get(volunteer)
        return known is not None and self._is_present(known)

    def is_live(self, lease_id: str) -> bool:
        """Whether a lease is granted, and has not ended."""
        held = self.shown.state.leases.get(lease_id)
        return held is not None and held.lease.state == "granted" and held.lease.expires_at > self.now

    @cached_property
    def num_present(self) -> int:
        """How many volunteers wait or work, roughly."""
        return len(self._places) + len(self._working)

    @cached_property
    def _working(self) -> frozenset[str]:
        leases = (held.lease for held in self.shown.state.leases.values())
        return frozenset(
            lease.volunteer for lease in leases if lease.state == "granted" and lease.expires_at > self.now
        )

    @cached_property
    def _tasks(self) -> Mapping[str, Task]:
        return {record.task_id: record for record in self.shown.records if isinstance(record, Task)}

    @cached_property
    def _for_all(self) -> tuple[Payload, ...]:
        return tuple(record for record in self.shown.records if isinstance(record, RunSpec | Summary))

    @cached_property
    def _own(self) -> Mapping[str, list[Payload]]:
        found: defaultdict[str, list[Payload]] = defaultdict(list)
        for record in self.shown.records:
            if isinstance(record, Lease | Verdict | Challenge):
                found[record.volunteer].append(record)
        return found

    @cached_property
    def _places(self) -> Mapping[str, int]:
        everybody = self.shown.state.volunteers.values()
        present = [known for known in everybody if self._is_present(known) and known.public_key not in self._working]
        present.sort(key=lambda known: known.waiting_since)
        return {known.public_key: place for place, known in enumerate(present, 1)}

    def _is_present(self, known: VolunteerState) -> bool:
        return known.want.state == "waiting" and self.now - known.seen_at <= self.want_life_s
