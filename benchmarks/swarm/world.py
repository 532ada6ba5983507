"""The queue of events of a simulated run: who is on, trains, hands in, leaves; nothing waits for real time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.swarm.scheme import USUAL_STEPS_S, Assignment, Scheme, Setup, every
from benchmarks.swarm.volunteers import DAY_S, Volunteer, population, sessions

_ABRUPT_SHARE = 0.5
"""Of the sessions: so many end without a snapshot, as by a power switch; assumed."""


@dataclass
class Worker:
    """What a volunteer does now."""

    who: Volunteer
    sessions: Iterator[tuple[float, float]]
    is_on: bool = False
    since: float = 0.0
    """When `step` was reached, while it trains."""
    work: Assignment | None = None
    step: float = 0.0
    wrong: list[int] = field(default_factory=list)
    version: int = 0
    """A planned end of work counts only with the version at which it was planned."""

    def speed(self) -> float:
        """Steps a second; a cheat's steps cost half, and its audits nothing."""
        usual = self.who.speed * USUAL_STEPS_S
        if not self.who.is_cheat or self.work is None:
            return usual
        return 1e3 * usual if self.work.is_audit else 2 * usual


@dataclass
class Tally:
    """What happened, summed over volunteers and time."""

    trained: float = 0.0
    """Steps that were really trained, audits among them."""
    audited: float = 0.0
    """Of these the steps of audits."""
    switched_off: float = 0.0
    """Steps since the last snapshot, of machines that were switched off."""
    given_up: float = 0.0
    """Steps of work that was taken back, or whose volunteer left, and that nobody went on from."""
    on_s: float = 0.0
    busy_s: float = 0.0
    ended_at: float = 0.0
    cheats: set[str] = field(default_factory=set)
    """Keys that handed in work that they had not trained."""


class World:
    """One run.

    Args:
        setup: What is simulated.
        scheme: How work is leased and checked.
    """

    def __init__(self, setup: Setup, scheme: Scheme) -> None:
        self._setup, self._scheme, self.tally = setup, scheme, Tally()
        self._workers = {
            one.key: Worker(one, sessions(one, setup.seed))
            for one in population(setup.volunteers, setup.malice, setup.days * DAY_S, setup.seed)
        }
        self._events: list[tuple[float, int, str, str, int]] = []
        self._numbers = itertools.count()
        self._randomly = random.Random(f"world {setup.seed}")

    def run(self) -> Tally:
        """Simulate until all experts are there, or the time is over."""
        end, every_s = self._setup.days * DAY_S, self._setup.poll_minutes * 60
        for worker in self._workers.values():
            self._plan_session(worker)
        now = 0.0
        while now < end and not self._scheme.is_done():
            now += every_s
            while self._events and self._events[0][0] <= now:
                at, _, kind, key, version = heapq.heappop(self._events)
                self._handle(kind, self._workers[key], version, at)
            self._report_all(now)
            self._poll(now)
        for worker in self._workers.values():
            self._train_until(worker, now)
        self.tally.ended_at = now
        return self.tally

    def _handle(self, kind: str, worker: Worker, version: int, at: float) -> None:
        if kind == "on":
            worker.is_on, worker.since = True, at
            self._scheme.is_here(worker.who, at)
            self._plan_end(worker)
        elif kind == "off":
            self._switch_off(worker, at)
        elif kind == "done" and worker.version == version and worker.work is not None:
            self._train_until(worker, at)
            self._hand_in(worker, worker.work.end, at)
            self._scheme.is_here(worker.who, at)

    def _switch_off(self, worker: Worker, at: float) -> None:
        self._train_until(worker, at)
        worker.is_on, worker.version = False, worker.version + 1
        leaves = at >= worker.who.leaves_at
        if worker.work is not None:
            begin, length = worker.work.start, self._setup.stretch_steps
            kept = begin + int((worker.step - begin) // length) * length
            if leaves or self._randomly.random() < _ABRUPT_SHARE:
                self.tally.switched_off += worker.step - kept
                worker.step = float(kept)
            can_give = self._scheme.takes_parts() and kept > begin and not worker.work.is_audit
            if leaves and worker.who.says_goodbye and can_give:
                self._hand_in(worker, kept, at)
        if leaves and worker.who.says_goodbye:
            self._scheme.says_goodbye(worker.who, at)
            self._give_up(worker)
        else:
            self._scheme.is_off(worker.who, at)
        self._plan_session(worker)

    def _poll(self, now: float) -> None:
        changes = self._scheme.poll(now)
        back = set(changes.taken_back)
        if back:
            for worker in self._workers.values():
                if worker.work is not None and worker.work.work_id in back:
                    self._train_until(worker, now)
                    self._give_up(worker)
                    if worker.is_on:
                        self._scheme.is_here(worker.who, now)
        for work in changes.granted:
            self._begin(self._workers[work.key], work, now)

    def _begin(self, worker: Worker, work: Assignment, now: float) -> None:
        self._train_until(worker, now)
        worker.work, worker.step = work, float(work.start)
        stretches = every(work.start, work.end, self._setup.stretch_steps)
        worker.wrong = list(stretches)[1::2] if worker.who.is_cheat else []
        if work.is_audit and worker.who.is_cheat:
            worker.wrong = [work.start]
        self._plan_end(worker)

    def _hand_in(self, worker: Worker, step: int, at: float) -> None:
        work = worker.work
        if work is None:
            return
        wrong = [one for one in worker.wrong if one < step]
        if wrong and not work.is_audit:
            self.tally.cheats.add(work.key)
        worker.work, worker.version = None, worker.version + 1
        self._scheme.hands_in(work, step, wrong, at)

    def _give_up(self, worker: Worker) -> None:
        if worker.work is not None:
            self.tally.given_up += worker.step - worker.work.start
        worker.work, worker.version = None, worker.version + 1

    def _train_until(self, worker: Worker, now: float) -> None:
        """Take in the time since a worker was looked at last."""
        if not worker.is_on:
            return
        passed_s, worker.since = max(0.0, now - worker.since), now
        self.tally.on_s += passed_s
        if worker.work is None:
            return
        steps = min(worker.work.end - worker.step, passed_s * worker.speed())
        self.tally.busy_s += passed_s
        worker.step += steps
        if worker.who.is_cheat:
            steps = 0.0 if worker.work.is_audit else steps / 2
        self.tally.trained += steps
        self.tally.audited += steps if worker.work.is_audit else 0.0

    def _report_all(self, now: float) -> None:
        for worker in self._workers.values():
            if worker.is_on and worker.work is not None:
                self._train_until(worker, now)
                self._scheme.reports(worker.work, int(worker.step), now)

    def _plan_session(self, worker: Worker) -> None:
        begin, end = next(worker.sessions, (None, None))
        if begin is not None and end is not None:
            self._plan(begin, "on", worker)
            self._plan(end, "off", worker)

    def _plan_end(self, worker: Worker) -> None:
        worker.version += 1
        if worker.is_on and worker.work is not None:
            left = worker.work.end - worker.step
            self._plan(worker.since + left / worker.speed(), "done", worker)

    def _plan(self, at: float, kind: str, worker: Worker) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), kind, worker.who.key, worker.version))
