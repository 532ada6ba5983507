"""A run whose volunteers audit each other's legs, and what arrives there."""

from __future__ import annotations

from dataclasses import replace

from tick_world import LEGS, PEOPLE, START, held, lease_of, leg, leg_verdict, run_of, sealed, want

from paris.coordinator.decisions.observations import (
    AuditNeeded,
    AuditReceived,
    Verified,
    WantReceived,
)
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.audits import AuditNeed, AuditVote
from paris.coordinator.state.model import State
from paris.protocol.audits import PARTS, packed
from paris.protocol.work_records import Audit, Lease, Rung

AUDITED = LEGS.model_copy(
    update={
        "replay_rate": 0.05,
        "audits": True,
        "audit_s": 3600.0,
        "audit_draw_s": 600.0,
        "audit_wait_s": 7200.0,
        "bait_rate": 0.0,
        "want_life_s": 1e9,
    }
)
NEED = AuditNeed(start_step=0, end_step=100, start=None)
NAMES = {person.public_key: number for number, person in enumerate(PEOPLE)}


def step(state: State, now: float, *seen, policy=AUDITED, watching_since: float = 0.0):
    return tick(state, seen, policy, now, watching_since)


def taker(who: int, now: float, state: str = "waiting", *, audits: bool = True) -> WantReceived:
    """A want of a volunteer that takes audits."""
    payload = want(who, now, state).envelope.payload.model_copy(update={"audits": audits or None})
    return WantReceived(sealed(payload, PEOPLE[who], now))


def proven(state: State, *who: int) -> State:
    """The state with verified work of some volunteers."""
    volunteers = dict(state.volunteers)
    for number in who:
        key = PEOPLE[number].public_key
        volunteers[key] = volunteers[key].model_copy(update={"num_proven": 3, "num_accepted": 3})
    return replace(state, volunteers=volunteers)


def handed_in(auditors=(1, 2, 3), state_of_others: str = "waiting") -> State:
    """Volunteer 0 has handed in a leg of the only task; the others wait, with verified work."""
    state = step(run_of(1), START, taker(0, START)).state
    state = step(state, START + 10, leg(held(state), 0, START + 10)).state
    state = step(state, START + 11, *(taker(who, START + 11, state_of_others) for who in auditors)).state
    return proven(state, *auditors)


def judged_lease(state: State) -> str:
    return lease_of(state).lease_id


def opened(state: State, now: float = START + 20, *, need: AuditNeed = NEED):
    """The decision in which an audit is opened, and given to whom the lot falls on."""
    return step(state, now, AuditNeeded(judged_lease(state), need))


def auditing(state: State) -> list[Lease]:
    """The leases of audits that are out."""
    return [state.leases[audit.lease_id].lease for audit in state.audits.values() if audit.outcome == "waiting"]


def result(lease: Lease, now: float, *, by: int | None = None, value: float = 1.0) -> AuditReceived:
    payload = Audit(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        commitment="c" * 64,
        digest="d" * 64,
        sketch=packed(dict.fromkeys(PARTS, [value] * 64)),
    )
    return AuditReceived(sealed(payload, PEOPLE[NAMES[lease.volunteer] if by is None else by], now))


def vote(lease: Lease, agrees: bool, is_true: bool | None = None) -> AuditVote:
    return AuditVote(lease_id=lease.lease_id, agrees=agrees, is_true=is_true, distance=0.0, moments=0.0, note="n")


def verdict(state: State, passed: bool, *votes: AuditVote, baits=()) -> Verified:
    """A verdict with the replay rung, by these votes."""
    lease = state.leases[judged_lease(state)].lease
    found = leg_verdict(state, lease, accepted=passed)
    rung = Rung(rung="replay", passed=passed, figure=0.0, bound=0.02)
    return Verified(found.verdict.model_copy(update={"rungs": (rung,)}), found.head, votes, baits)


def work(state: State):
    return state.submissions[next(iter(state.submissions))]
