"""BOINC's ways to check work, under the same legs, deadlines and volunteers.

A quorum of two: each leg is trained by two volunteers, and stands when two ends agree; else a third is asked, and so
on. Adaptive replication: a volunteer with ten valid results in a row is believed alone, with the chance
1 - 1 / (number in a row); otherwise as above (`set_trust` in BOINC's sched/sched_send.cpp). A refused result sets the
number to 0.

Made-up ends never agree here: cheats do not know each other. A late result still counts while its leg is open.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.swarm.records import task_of
from benchmarks.swarm.scheme import Assignment, Changes, Result, Setup
from benchmarks.swarm.volunteers import Volunteer
from paris.protocol.leases import is_overdue
from paris.protocol.run_records import Task
from paris.protocol.work_records import Heartbeat, Lease

_QUORUM = 2
_VALID_TO_TRUST = 10


@dataclass
class _Replica:
    lease: Lease
    heartbeat: Heartbeat | None = None
    wrong: tuple[int, ...] | None = None
    """None: it has not come."""
    is_late: bool = False


@dataclass
class _Leg:
    """The present leg of an expert."""

    task: Task
    start: int = 0
    needed: int = _QUORUM
    replicas: dict[str, _Replica] = field(default_factory=dict)
    """By key of the volunteer: nobody gets a leg twice."""


class Replicas:
    """A run whose legs are trained by several volunteers.

    Args:
        setup: What is simulated; its scheme is `quorum` or `adaptive`.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup, self.result = setup, Result()
        self._legs = [_Leg(task_of(setup, f"expert-{k}", k).task) for k in range(setup.experts)]
        self._by_work: dict[str, _Leg] = {}
        self._queue: deque[str] = deque()
        self._busy: set[str] = set()
        self._here: set[str] = set()
        self._valid: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._randomly = random.Random(f"replicas {setup.seed}")
        self._taken_back: list[str] = []

    def takes_parts(self) -> bool:
        """Whether a leg that ends early is worth something: its end can be compared with no other."""
        return False

    def is_here(self, one: Volunteer, now: float) -> None:
        """Asks for work."""
        self._here.add(one.key)
        if one.key not in self._busy and one.key not in self._queue:
            self._queue.append(one.key)

    def is_off(self, one: Volunteer, now: float) -> None:
        """Is not there."""
        self._here.discard(one.key)

    def says_goodbye(self, one: Volunteer, now: float) -> None:
        """Its replica is given to somebody else."""
        self._here.discard(one.key)
        for leg in self._legs:
            replica = leg.replicas.get(one.key)
            if replica is not None and replica.wrong is None:
                self._drop(leg, one.key)

    def reports(self, work: Assignment, step: int, now: float) -> None:
        """Progress, for the deadline curve."""
        leg = self._by_work.get(work.work_id)
        if leg is None or work.key not in leg.replicas:
            return
        lease = leg.replicas[work.key].lease
        leg.replicas[work.key].heartbeat = Heartbeat(
            lease_id=lease.lease_id,
            task_id=lease.task_id,
            attempt=lease.attempt,
            state="training",
            step=step,
            loss=0.1,
            steps_per_s=1.0,
        )

    def hands_in(self, work: Assignment, step: int, wrong: Sequence[int], now: float) -> None:
        """A result; the leg stands when enough agree."""
        self._busy.discard(work.key)
        leg = self._by_work.pop(work.work_id, None)
        if leg is None or work.key not in leg.replicas:
            return
        leg.replicas[work.key].wrong = tuple(wrong)
        self._settle(leg)

    def is_done(self) -> bool:
        """Whether all experts are there."""
        return all(leg.start >= leg.task.steps for leg in self._legs)

    def poll(self, now: float) -> Changes:
        """Take late replicas out of account, and give out what is missing."""
        started = time.process_time()
        changes = Changes(taken_back=self._taken_back)
        self._taken_back = []
        for leg in self._legs:
            for replica in leg.replicas.values():
                if replica.wrong is None and is_overdue(replica.lease, leg.task, replica.heartbeat, now):
                    replica.is_late = True
        waiting = [key for key in self._queue if key in self._here and key not in self._busy]
        open_legs = sorted((leg for leg in self._legs if self._missing(leg) > 0), key=lambda leg: leg.start)
        for leg in open_legs:
            while waiting and self._missing(leg) > 0:
                chosen = next((key for key in waiting if key not in leg.replicas), None)
                if chosen is None:
                    break
                waiting.remove(chosen)
                changes.granted.append(self._grant(leg, chosen, now))
        self._queue = deque(waiting)
        self.result.cpu_s += time.process_time() - started
        self.result.ticks += 1
        self.result.verified_steps = sum(leg.start for leg in self._legs)
        return changes

    def _missing(self, leg: _Leg) -> int:
        if leg.start >= leg.task.steps:
            return 0
        under_way = sum(one.wrong is None and not one.is_late for one in leg.replicas.values())
        return leg.needed - _agreeing(leg) - under_way

    def _grant(self, leg: _Leg, key: str, now: float) -> Assignment:
        number = next(self._numbers)
        work_id, end = f"{number:032x}", leg.start + self._setup.leg_steps
        lease = Lease(
            lease_id=work_id,
            task_id=leg.task.task_id,
            attempt=number,
            volunteer=key,
            granted_at=now,
            expires_at=now + 1.0,
            start_step=leg.start,
            to_step=end,
        )
        if not leg.replicas:
            leg.needed = 1 if self._is_trusted(key) else _QUORUM
        leg.replicas[key] = _Replica(lease)
        self._by_work[work_id] = leg
        self._busy.add(key)
        return Assignment(key, work_id, leg.start, end)

    def _is_trusted(self, key: str) -> bool:
        valid = self._valid.get(key, 0)
        is_adaptive = self._setup.scheme == "adaptive"
        return is_adaptive and valid >= _VALID_TO_TRUST and self._randomly.random() > 1 / valid

    def _settle(self, leg: _Leg) -> None:
        came = {key: one.wrong for key, one in leg.replicas.items() if one.wrong is not None}
        is_believed = leg.needed == 1
        if not is_believed and _agreeing(leg) < leg.needed:
            return
        for key, wrong in came.items():
            if wrong and not is_believed:
                self._valid[key] = 0
                self.result.refused.add(key)
            elif not is_believed:
                self._valid[key] = self._valid.get(key, 0) + 1
            else:
                self.result.wrong_steps += self._setup.stretch_steps * len(wrong)
                self._valid[key] = self._valid.get(key, 0) + 1
        leg.start += self._setup.leg_steps
        for key in [key for key, one in leg.replicas.items() if one.wrong is None]:
            self._drop(leg, key)
        leg.replicas, leg.needed = {}, _QUORUM

    def _drop(self, leg: _Leg, key: str) -> None:
        """A replica that is not needed any more, or never comes."""
        work_id = leg.replicas[key].lease.lease_id
        leg.replicas[key].is_late = True
        self._by_work.pop(work_id, None)
        self._busy.discard(key)
        self._taken_back.append(work_id)


def _agreeing(leg: _Leg) -> int:
    """Results that agree: the right ones."""
    return sum(one.wrong == () for one in leg.replicas.values())
