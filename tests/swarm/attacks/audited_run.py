"""A run whose volunteers audit each other, played by the coordinator's decisions: for attacks by auditors.

Lots, baits, votes, faults and verdicts are the coordinator's own, at its defaults. Nothing is trained: an honest end
and a wrong one are random sketches, as far apart as those of trainings. A leg is one expert's whole training.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path += [str(TESTS), str(TESTS / "coordinator")]

from tick_world import PEOPLE, START, held, leg, leg_verdict, registration, sealed, task, want  # noqa: E402

from paris.coordinator.decisions.observations import (  # noqa: E402
    AuditNeeded,
    AuditReceived,
    Observation,
    Verified,
    WantReceived,
)
from paris.coordinator.decisions.policy import Policy  # noqa: E402
from paris.coordinator.decisions.tick import tick  # noqa: E402
from paris.coordinator.state.audits import AuditNeed, AuditState, AuditVote, Bait, settled  # noqa: E402
from paris.coordinator.state.events import EventKind  # noqa: E402
from paris.coordinator.state.model import State, SubmissionState, VolunteerState  # noqa: E402
from paris.coordinator.verify import VerificationBounds  # noqa: E402
from paris.protocol.audits import PARTS, VALUES, Parts, apart, packed, unpacked  # noqa: E402
from paris.protocol.signing import Identity  # noqa: E402
from paris.protocol.work_records import Audit, Rung, Want  # noqa: E402

HONEST_WORKER, CHEAT = 0, 1
"""Of `PEOPLE`."""
NEED = AuditNeed(start_step=0, end_step=100, start=None)
_ROUNDING, _WRONG, _NUM_BAITS = 0.001, 0.7, 8
"""Distances of an honest end and of a cheat's from another honest one, relative to the way (docs/threat-model.md)."""
Auditor = Callable[["AuditedRun", AuditState], "Parts | None"]
"""What an auditor returns for an audit; None: nothing."""


class AuditedRun:
    """Legs that are handed in one after another, and their audits.

    Args:
        seed: Of the lots, baits and sketches.
        auditors: What each auditor does; all are present and have verified work.
    """

    def __init__(self, seed: int, auditors: list[Auditor]) -> None:
        bounds, self.seed, self.now, self.cpu_s = VerificationBounds(), seed, START, 0.0
        self.policy = Policy(
            lease_s=1e6,
            heartbeat_every_s=60.0,
            want_life_s=1e9,
            leg_steps=200,
            snapshot_every=100,
            replay_rate=bounds.replay_rate,
            audits=True,
            audit_s=bounds.audit_hours * 3600,
            audit_draw_s=bounds.audit_draw_hours * 3600,
            audit_wait_s=bounds.audit_wait_hours * 3600,
            bait_rate=bounds.bait_rate,
            replay_bound=bounds.max_replay_distance,
            draw_key=hashlib.sha256(f"{seed}".encode()).hexdigest(),
        )
        names = [hashlib.sha256(f"{seed} auditor {number}".encode()).digest() for number in range(len(auditors))]
        self._people = {person.public_key: person for person in map(Identity.of_seed, names)}
        self.does = dict(zip(self._people, auditors, strict=True))
        self.state, self.published, self.problems = State(tasks={}), list[Audit](), list[str]()
        self._see(*self._all("busy"))
        proven = {key: known.model_copy(update={"num_proven": 20}) for key, known in self.state.volunteers.items()}
        self.state = replace(self.state, volunteers=proven)

    def volunteer(self, number: int) -> VolunteerState:
        """What the coordinator knows of an auditor."""
        return self.state.volunteers[list(self._people)[number]]

    def audits_of(self, number: int) -> list[AuditState]:
        """All audits that an auditor had."""
        key = list(self._people)[number]
        return [audit for audit in self.state.audits.values() if audit.volunteer == key]

    def play(self, worker: int) -> SubmissionState:
        """Hand in a leg, and have it audited until its verdict.

        Args:
            worker: `HONEST_WORKER` or `CHEAT`, whose end is wrong.
        """
        made = task(len(self.state.tasks))
        task_id = made.task.task_id
        made = made.model_copy(update={"task": made.task.model_copy(update={"steps": 200, "deadline_s": 1e6})})
        self.state = replace(self.state, tasks={**self.state.tasks, task_id: made})
        self._see(*self._all("busy"), want(worker, self.now))
        lease_id = held(self.state, task_id).lease.lease_id
        by = "cheat" if worker == CHEAT else "honest"
        self._see(leg(held(self.state, task_id), worker, self.now, by=by), want(worker, self.now, "leaving"))
        self._see(AuditNeeded(lease_id, NEED), *self._all("waiting"))
        while (known := self.state.submissions[lease_id]).verdict is None:
            if known.phase == "auditing":
                self._audit(lease_id)
            else:
                self._verify(known)
        if known.verdict.accepted:
            self._see(registration(self.state.leases[lease_id].lease))
        return self.state.submissions[lease_id]

    def end(self, audit: AuditState, *, claimed: bool) -> Parts:
        """The sketch, by an audit's nonce, of the stretch's end: an honest one, or the one that was claimed."""
        of = self.state.submissions[audit.leg]
        return self._sketch(audit.nonce, wrong=claimed and of.signer == PEOPLE[CHEAT].public_key)

    def _sketch(self, nonce: str, *, wrong: bool, rounding: float = 0.0) -> Parts:
        way, other = random.Random(f"{nonce} way"), random.Random(f"{nonce} {wrong} {rounding}")
        away = _WRONG if wrong else rounding
        return {part: [way.gauss() + away * other.gauss() for _ in range(VALUES)] for part in PARTS}

    def _audit(self, leg_id: str) -> None:
        """Let who has the audit do it; where nobody has it, or returns it, time passes."""
        waiting = [audit for audit in self.state.audits.values() if audit.outcome == "waiting"]
        for audit in waiting:
            found = self.does[audit.volunteer](self, audit)
            if found is not None:
                ids = {"lease_id": audit.lease_id, "task_id": audit.task_id}
                result = Audit(
                    **ids, attempt=self.state.leases[audit.lease_id].lease.attempt, commitment="c" * 64,
                    digest="d" * 64, sketch=packed(found),
                )  # fmt: skip
                self.published.append(result)
                self._see(AuditReceived(sealed(result, self._people[audit.volunteer], self.now)))
                return
        self.now += 600.0
        self._see()

    def _verify(self, known: SubmissionState) -> None:
        """As `verify/audit_votes.py`: what most auditors do not pass, the organiser's machine judges."""
        lease_id, is_wrong = known.submission.lease_id, known.signer == PEOPLE[CHEAT].public_key
        arrived = [a for a in self.state.audits.values() if a.leg == lease_id and a.outcome == "arrived" and a.result]
        agreeing = sum(self._is_end(audit, claimed=True) for audit in arrived)
        passed = False if known.is_replayed_here else settled(agreeing, len(arrived) - agreeing)
        if passed is None:
            self._see(AuditNeeded(lease_id, NEED))
            return
        is_settled_here = not passed
        passed = passed or not is_wrong
        votes = [
            AuditVote(
                lease_id=audit.lease_id,
                agrees=self._is_end(audit, claimed=True),
                is_true=self._is_end(audit, claimed=False) if is_settled_here else None,
                distance=0.0,
                moments=0.0,
                note="",
            )
            for audit in arrived
        ]
        rung = Rung(rung="replay", passed=passed, figure=0.0, bound=self.policy.replay_bound)
        found = leg_verdict(self.state, self.state.leases[lease_id].lease, accepted=passed)
        verdict = found.verdict.model_copy(update={"rungs": (rung,)})
        baits = () if passed else tuple(self._bait(lease_id, n) for n in range(_NUM_BAITS))
        # Nobody is to take the task again, which a refusal opens.
        self._see(*self._all("busy"), Verified(verdict, found.head, tuple(votes), baits))
        task_id = known.submission.task_id
        self.state = replace(self.state, tasks={**self.state.tasks, task_id: self.state.tasks[task_id].waiting()})

    def _is_end(self, audit: AuditState, *, claimed: bool) -> bool:
        distance = max(apart(self.end(audit, claimed=claimed), unpacked(audit.result.sketch)))
        return distance <= self.policy.replay_bound

    def _bait(self, lease_id: str, number: int) -> Bait:
        nonce = hashlib.sha256(f"{self.seed} {lease_id} {number}".encode()).hexdigest()
        claim, right = (
            {part: tuple(values) for part, values in self._sketch(nonce, wrong=wrong).items()}
            for wrong in (True, False)
        )
        need = NEED.model_dump()
        return Bait(**need, nonce=nonce, claim=claim, right=right)

    def _see(self, *seen: Observation) -> None:
        self.now += 1.0
        began = time.thread_time()
        decision = tick(self.state, seen, self.policy, self.now)
        self.cpu_s += time.thread_time() - began
        self.state = decision.state
        self.problems += [event.text for event in decision.events if event.kind is EventKind.PROBLEM]

    def _all(self, state: str) -> list[WantReceived]:
        return [self._asks(key, state) for key in self._people]

    def _asks(self, key: str, state: str) -> WantReceived:
        payload = Want(
            name=key[:6], device="cpu", memory_bytes=10**9, disk_bytes=10**9, state=state, node_version="0.1.0",
            audits=True,
        )  # fmt: skip
        return WantReceived(sealed(payload, self._people[key], self.now))
