"""Legs, replays and audits as the coordinator decides them: its own `tick` on real records, and its own draws.

Nothing is trained. What verification finds is taken from benchmarks/results/attacks.json: how often a replay, and how
often the other rungs, refuse a leg of which only half was trained. Volunteers audit; a cheat makes its audits up.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.record import RESULTS
from benchmarks.swarm.records import Records, head_of, task_of
from benchmarks.swarm.scheme import Assignment, Changes, Result, Setup
from benchmarks.swarm.volunteers import Volunteer
from paris.coordinator.decisions.draws import draw_secret
from paris.coordinator.decisions.legs import head_commitment, start_of
from paris.coordinator.decisions.observations import (
    Action,
    AuditNeeded,
    AverageLanes,
    Close,
    Closed,
    LanesAveraged,
    LegStored,
    Observation,
    Recheck,
    Rechecked,
    Register,
    Registered,
    StoreLeg,
    TrainRouter,
    Verified,
    Verify,
)
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.audits import AuditNeed, AuditVote, Bait, settled
from paris.coordinator.state.model import LeaseState, State, SubmissionState
from paris.coordinator.state.store import Store
from paris.coordinator.verify import VerificationBounds
from paris.protocol.audit_order import AuditStart
from paris.protocol.audits import PARTS, VALUES
from paris.protocol.draws import Stretch, draw
from paris.protocol.lanes import lane_id
from paris.protocol.run_records import Registration
from paris.protocol.work_records import Rung, Verdict

_REPLAYED, _UNREPLAYED = "attack: leg: half of the steps", "attack: half of the steps, own loss, first"
_SAVE_EVERY = 50
"""Ticks from one measured write of the state to the next."""
_RIGHT, _OTHER = 1.0, 2.0


def policy_of(setup: Setup) -> Policy:
    """The defaults of a run of legs that volunteers audit, with the periods of the simulation."""
    bounds = VerificationBounds()
    return Policy(
        lease_s=1e9,
        heartbeat_every_s=60 * setup.poll_minutes,
        want_life_s=1e9,
        leg_steps=setup.leg_steps,
        snapshot_every=setup.stretch_steps,
        lanes=setup.lanes,
        replay_rate=bounds.replay_rate,
        audits=True,
        audit_s=bounds.audit_hours * 3600,
        audit_draw_s=bounds.audit_draw_hours * 3600,
        audit_wait_s=bounds.audit_wait_hours * 3600,
        bait_rate=bounds.bait_rate,
        draw_key="5e" * 32,
    )


def refusal_chance(attack: str) -> float:
    """The measured share of the trials of an attack that were refused."""
    row = json.loads((RESULTS / "attacks.json").read_text())["rows"][attack]
    return sum(bool(code) for code in row["refused_by"]) / len(row["refused_by"])


class Paris:
    """A run under the coordinator's decisions.

    Args:
        setup: What is simulated.
        store: Its writes are measured; None: nothing is written.
    """

    def __init__(self, setup: Setup, store: Store | None = None) -> None:
        self._setup, self._policy, self.result = setup, policy_of(setup), Result()
        places = itertools.product(range(setup.experts), range(setup.lanes))
        tasks = [task_of(setup, lane_id(f"expert-{k}", lane), k) for k, lane in places]
        self._state, self._records = State(tasks={task.task.task_id: task for task in tasks}), Records()
        self._inbox: list[Observation] = []
        self._wrong: dict[str, frozenset[int]] = {}
        """By lease id: first steps of the stretches that were not trained."""
        self._randomly = random.Random(f"paris {setup.seed}")
        self._chances = refusal_chance(_REPLAYED), refusal_chance(_UNREPLAYED)
        self._store, self._saved = store, State()

    def takes_parts(self) -> bool:
        """Whether a leg that ends early is worth something."""
        return True

    def is_here(self, one: Volunteer, now: float) -> None:
        """Asks for work."""
        self._inbox.append(self._records.want(one.key, "waiting", now))

    def is_off(self, one: Volunteer, now: float) -> None:
        """Stands for the end of its want, which a machine that is off does not renew."""
        self._inbox.append(self._records.want(one.key, "paused", now))

    def says_goodbye(self, one: Volunteer, now: float) -> None:
        """Leaves for good."""
        self._inbox.append(self._records.want(one.key, "leaving", now))

    def reports(self, work: Assignment, step: int, now: float) -> None:
        """A heartbeat."""
        self._inbox.append(self._records.heartbeat(self._state.leases[work.work_id].lease, step, now))

    def hands_in(self, work: Assignment, step: int, wrong: Sequence[int], now: float) -> None:
        """A submission, or an auditor's result."""
        held = self._state.leases[work.work_id]
        if work.is_audit:
            self._inbox.append(self._records.audit(held.lease, _OTHER if wrong else _RIGHT, now))
            self._wrong[work.work_id] = frozenset(wrong)
            return
        self._wrong[work.work_id] = frozenset(wrong)
        self._inbox.append(self._records.submission(held, step, sorted(wrong), now))

    def is_done(self) -> bool:
        """Whether all experts are registered."""
        return all(task.registration is not None for task in self._state.experts.values())

    def poll(self, now: float) -> Changes:
        """Ticks until no action is left; verification takes no time, and the state is written now and then."""
        before, seen = self._state.leases, self._inbox
        self._inbox = []
        while True:
            started = time.process_time()
            decision = tick(self._state, seen, self._policy, now)
            self.result.cpu_s += time.process_time() - started
            self.result.ticks += 1
            self._state = decision.state
            self._save(decision.events, now)
            seen = list(self._results(decision.actions))
            if not seen:
                break
        self._count()
        return self._changes(before)

    def _save(self, events: Sequence[Any], now: float) -> None:
        if self._store is None or self.result.ticks % _SAVE_EVERY > 1:
            return
        started = time.process_time()
        self._store.save(self._saved, self._state, events, now)
        if self.result.ticks % _SAVE_EVERY == 1:  # the first of two holds the changes of many ticks
            self.result.saves.append(time.process_time() - started)
        self._saved = self._state

    def _changes(self, before: Any) -> Changes:
        changes = Changes()
        for lease_id, held in self._state.leases.items():
            old, lease = before.get(lease_id), held.lease
            if old is None and lease.state == "granted":
                end = lease.to_step or 0
                is_audit = lease.audit is not None
                changes.granted.append(Assignment(lease.volunteer, lease_id, lease.start_step or 0, end, is_audit))
            elif old is not None and old is not held and old.lease.state == "granted" != lease.state:
                changes.taken_back.append(lease_id)
        return changes

    def _count(self) -> None:
        done = [known for known in self._state.submissions.values() if known.phase in ("stored", "registered")]
        own = self._state.experts.values()
        self.result.verified_steps = sum(
            task.task.steps if task.registration is not None else start_of(task.task) for task in own
        )
        length = self._setup.stretch_steps
        self.result.wrong_steps = length * sum(len(self._wrong[known.submission.lease_id]) for known in done)

    def _results(self, actions: Sequence[Action]) -> Iterator[Observation]:
        """What verification and the Hub report; all waiting work is judged, as by a machine that keeps up."""
        for action in actions:
            match action:
                case Verify():
                    waiting = [known for known in self._state.submissions.values() if known.phase == "seen"]
                    yield from (self._judge(known) for known in waiting)
                case Recheck(lease_id):
                    yield self._recheck(self._state.submissions[lease_id])
                case StoreLeg(lease_id):
                    known = self._state.submissions[lease_id]
                    s = known.submission
                    yield LegStored(lease_id, head_of(s.task_id, s.steps, s.commitment))
                case Register(lease_id):
                    yield Registered(self._registration(self._state.submissions[lease_id]))
                case AverageLanes():
                    mean = hashlib.sha256("".join(action.leases).encode()).hexdigest()
                    yield LanesAveraged(action.task_id, action.leases, head_of(action.task_id, action.step, mean))
                case Close(lease_id):
                    yield Closed(lease_id)
                case TrainRouter():
                    continue

    def _judge(self, known: SubmissionState) -> Observation:
        """The ladder on one leg, with its replay by other volunteers, or on this machine where none is there."""
        s, held = known.submission, self._state.leases[known.submission.lease_id]
        wrong, votes, baits = self._wrong[s.lease_id], list[AuditVote](), list[Bait]()
        if wrong and self._randomly.random() < self._chances[1]:
            return self._verdict(known, held, "skill", False)
        length, begin = self._setup.stretch_steps, s.start_step or 0
        secret = draw_secret(self._policy.draw_key, s.lease_id)
        drawn = draw(secret, s.commitment, range(begin + length, s.steps + 1, length), begin, known.replay_rate or 0.0)
        for stretch in drawn:
            cast = self._votes_on(s.lease_id, stretch, stretch.start not in wrong)
            votes += cast
            passes = settled(sum(vote.agrees for vote in cast), sum(not vote.agrees for vote in cast))
            if passes is None and not known.is_replayed_here:
                return AuditNeeded(s.lease_id, self._need(held, stretch))
            if passes is None:
                self.result.replayed_steps += length
                passes = stretch.start not in wrong or self._randomly.random() >= self._chances[0]
            if not passes:
                baits.append(self._bait(held, stretch))
                return self._verdict(known, held, "replay", False, tuple(votes), tuple(baits))
        return self._verdict(known, held, "replay" if drawn else "skill", True, tuple(votes))

    def _recheck(self, known: SubmissionState) -> Observation:
        """Verified work, trained again as a whole by other volunteers, or on this machine where none is there."""
        s, held = known.submission, self._state.leases[known.submission.lease_id]
        whole, wrong = Stretch(s.start_step or 0, s.steps), self._wrong[s.lease_id]
        votes = self._votes_on(s.lease_id, whole, not wrong)
        passes = settled(sum(vote.agrees for vote in votes), sum(not vote.agrees for vote in votes))
        if passes is None and not known.is_replayed_here:
            return AuditNeeded(s.lease_id, self._need(held, whole))
        if passes is None:
            self.result.replayed_steps += whole.end - whole.start
            passes = not wrong
        return Rechecked(s.lease_id, passes, "its end is another one", tuple(votes))

    def _votes_on(self, leg: str, stretch: Stretch, is_right: bool) -> list[AuditVote]:
        found = []
        for audit in self._state.audits.values():
            if (audit.leg, audit.outcome) != (leg, "arrived") or (audit.start_step, audit.end_step) != stretch:
                continue
            agrees = is_right and not self._wrong[audit.lease_id]
            found.append(AuditVote(lease_id=audit.lease_id, agrees=agrees, distance=0.0, moments=0.0, note=""))
        return found

    def _verdict(
        self,
        known: SubmissionState,
        held: LeaseState,
        rung: str,
        passed: bool,
        votes: tuple[AuditVote, ...] = (),
        baits: tuple[Bait, ...] = (),
    ) -> Verified:
        if not passed:
            self.result.refused.add(known.signer)
            self.result.refused_honest += not self._wrong[known.submission.lease_id]
        verdict = Verdict(
            lease_id=held.lease.lease_id,
            task_id=held.lease.task_id,
            attempt=held.lease.attempt,
            volunteer=known.signer,
            accepted=passed,
            reason="",
            rungs=(Rung(rung=rung, passed=passed, figure=0.0, bound=0.0),),
        )
        head = head_commitment(self._state.tasks[held.lease.task_id].task)
        return Verified(verdict, head, votes, baits)

    def _need(self, held: LeaseState, stretch: Stretch) -> AuditNeed:
        start = None
        if stretch.start > 0:
            commitment = held.start_commitment or "0" * 64
            files = {"sha256": ("1" * 64,) * 3, "bytes": (1,) * 3}
            start = AuditStart(
                previous="0" * 64, commitment=commitment, commit="0" * 40, folder="states/snapshot", **files
            )
        return AuditNeed(start_step=stretch.start, end_step=stretch.end, start=start)

    def _bait(self, held: LeaseState, stretch: Stretch) -> Bait:
        need = self._need(held, stretch)
        claim = dict.fromkeys(PARTS, (-1.0,) * VALUES)
        return Bait(start_step=need.start_step, end_step=need.end_step, start=need.start, nonce="2" * 64, claim=claim)

    def _registration(self, known: SubmissionState) -> Registration:
        s = known.submission
        return Registration(
            task_id=s.task_id,
            cluster=self._state.tasks[s.task_id].task.cluster,
            repo="a/b",
            commit="0" * 40,
            path="experts/expert.safetensors",
            sha256=s.files[0].sha256,
            bytes=1,
            steps=s.steps,
            volunteer=known.signer,
            volunteer_name=s.name,
            lease_id=s.lease_id,
        )
