"""What the verification of legs costs: legs, replays or audits, lanes. Counted as the coordinator decides.

Which legs are replayed is drawn; the counts are the mean over the draws, for honest volunteers that take legs in turn.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from paris.coordinator.decisions.trust import rate_after
from paris.coordinator.planning.facts import Facts
from paris.coordinator.planning.plan import ChecksPlan, LanesPlan
from paris.coordinator.run.stretches import FEWEST_STRETCHES
from paris.coordinator.verify.bounds import VerificationBounds
from paris.experts.training.needs import state_bytes
from paris.protocol.chain import MAX_LINKS


class Relay(NamedTuple):
    """How the training of an expert is cut into legs, where all volunteers have one speed."""

    leg: int
    """Steps of a leg; the last may have fewer."""
    legs: int
    """Of an expert, in its own lane."""
    round_legs: int
    """Of each further lane."""
    round_steps: int
    """Of each further lane."""


def relay_of(facts: Facts, step_s: float | None) -> Relay:
    """Cut the training into legs.

    Args:
        facts: The run, with legs.
        step_s: Seconds of a volunteer's step, which decide the length of a leg of `leg_hours`; None: a volunteer that
            just meets the deadline.
    """
    table, steps, every = facts.config.tasks, facts.config.tasks.steps, facts.config.snapshot_every
    usual = facts.config.leg_steps or steps
    length = usual
    if table.leg_hours is not None and step_s is not None:
        length = max(int(table.leg_hours * 3600 / step_s), min(usual, FEWEST_STRETCHES * every))
    leg = min(steps, max(1, min(length, MAX_LINKS * every) // every) * every)
    if length >= steps:
        leg = min(steps, MAX_LINKS * every)
    if table.lanes == 1:
        return Relay(leg, math.ceil(steps / leg), 0, 0)
    one = max(every, usual // every * every)
    rounds, each = math.ceil(steps / one), math.ceil(one / leg)
    before = (rounds - 1) * each
    return Relay(min(leg, one), before + math.ceil((steps - (rounds - 1) * one) / leg), before, (rounds - 1) * one)


def further_lanes(facts: Facts, volunteers: int) -> int:
    """Lanes beyond each expert's own that so many volunteers train, in all."""
    experts = facts.config.run.num_experts
    return min(max(0, volunteers - experts), experts * (facts.config.tasks.lanes - 1))


def checks_of(facts: Facts, volunteers: int, step_s: float, verification_s: float) -> ChecksPlan | None:
    """What is verified and trained again where all machines are of one kind; None: the run has no legs.

    Args:
        facts: The run.
        volunteers: At work at once.
        step_s: Seconds of a step.
        verification_s: Of one submission, without a replay.
    """
    if facts.config.leg_steps is None:
        return None
    experts, lanes, relay = facts.config.run.num_experts, further_lanes(facts, volunteers), relay_of(facts, step_s)
    legs = experts * relay.legs + lanes * relay.round_legs
    steps = experts * facts.config.tasks.steps + lanes * relay.round_steps
    every = min(facts.config.snapshot_every, relay.leg)
    stretches = math.ceil(relay.leg / every)
    replays = _replays(facts, legs, experts + lanes, volunteers, stretches)
    return ChecksPlan(
        legs=legs,
        stretches_a_leg=stretches,
        replays=replays,
        replayed_share=replays * every / steps,
        replays_s=replays * every * step_s,
        verifications_s=legs * verification_s,
    )


def replays_by(facts: Facts) -> Literal["organiser", "volunteers"] | None:
    """Who trains stretches of legs again; None: nobody."""
    bounds = VerificationBounds.model_validate(facts.config.verify_settings)
    return bounds.audits if bounds.replay and facts.config.leg_steps is not None else None


def lanes_plan(facts: Facts, volunteers: int) -> LanesPlan | None:
    """Rounds and means of the lanes; None: each expert has one lane."""
    table, experts = facts.config.tasks, facts.config.run.num_experts
    if table.lanes == 1:
        return None
    relay, further = relay_of(facts, None), further_lanes(facts, volunteers)
    every = facts.config.snapshot_every
    rounds = math.ceil(table.steps / max(every, (facts.config.leg_steps or table.steps) // every * every))
    averaged = min(further, experts)  # every expert gets its second lane before any gets a third
    state = state_bytes(facts.model, facts.moments, facts.state)
    return LanesPlan(
        lanes=table.lanes,
        further=further,
        further_steps=further * relay.round_steps,
        rounds=rounds,
        means=(rounds - 1) * averaged,
        fetched_bytes=(rounds - 1) * (further + averaged) * state,
        sent_bytes=(rounds - 1) * averaged * state,
    )


def _replays(facts: Facts, legs: int, trainings: int, volunteers: int, stretches: int) -> float:
    """Stretches that are trained again: those drawn, and the first one of each training where it is not drawn too."""
    bounds = VerificationBounds.model_validate(facts.config.verify_settings)
    if not bounds.replay:
        return 0.0
    drawn_first = _drawn(trainings, volunteers, bounds.replay_rate) / stretches
    return _drawn(legs, volunteers, bounds.replay_rate) + trainings - drawn_first


def _drawn(legs: int, volunteers: int, least: float) -> float:
    """Legs that are drawn of so many, which volunteers take in turn."""
    each, more = divmod(legs, volunteers)
    rates = [rate_after(proven, least) for proven in range(each + 1)]
    return volunteers * sum(rates[:each]) + more * rates[each]
