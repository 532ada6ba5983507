"""The coordinator's decisions, as a pure function: `tick(state, observations, now) -> (state, actions, events)`.

Nothing here reads a clock, a socket or a file, so that it can be property-tested, replayed and simulated. Actions are
asked for again at each tick until an observation says that they are done: whoever carries them out does nothing
twice (`service.py`), and a coordinator killed anywhere goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paris.coordinator.decisions.intake import absorb
from paris.coordinator.decisions.leases import grant_open_tasks, renew_leases, take_back_leases
from paris.coordinator.decisions.observations import Action, Observation, Register, Reject, TrainRouter, Verify
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.events import Event
from paris.coordinator.state.model import State


@dataclass(frozen=True)
class Decision:
    """What a tick decided."""

    state: State
    actions: tuple[Action, ...]
    events: tuple[Event, ...]


def tick(
    state: State, observations: Iterable[Observation], policy: Policy, now: float, watching_since: float = 0.0
) -> Decision:
    """Take in what was seen and decide what to do.

    Args:
        state: What the coordinator knows.
        observations: What came in since, in any order; anything seen before is harmless.
        policy: The numbers to decide by.
        now: UTC seconds.
        watching_since: Since when this coordinator is up, UTC seconds: while it was down it saw nothing, and nobody
            pays for that.

    Returns:
        The new state, the work to be done now, and what people should read of it.
    """
    events: list[Event] = []
    for observation in observations:
        state = absorb(state, observation, policy, now, events)
    state = take_back_leases(state, now, watching_since, events)
    state = renew_leases(state, policy, now)
    state = grant_open_tasks(state, policy, now, events)
    state = _start_router(state, policy, events)
    return Decision(state, tuple(_wanted_actions(state, policy, now)), tuple(events))


def _start_router(state: State, policy: Policy, events: list[Event]) -> State:
    enough = 0 < policy.train_router_after <= state.num_registered
    if state.router.phase == "waiting" and enough:
        events.append(Event("router", f"{state.num_registered} experts are registered: router training starts."))
        return state.with_router(state.router.model_copy(update={"phase": "training"}))
    return state


def _wanted_actions(state: State, policy: Policy, now: float) -> Iterable[Action]:
    waiting = [s for s in state.submissions.values() if s.phase == "seen" and s.retry_at <= now]
    for submission in sorted(waiting, key=lambda s: s.seen_at)[: policy.max_verifications]:
        yield Verify(submission.submission.lease_id)
    for submission in state.submissions.values():
        if submission.phase == "accepted":
            yield Register(submission.submission.lease_id)
        elif submission.phase == "rejected":
            yield Reject(submission.submission.lease_id)
    if state.router.phase == "training":
        yield TrainRouter(state.router.from_samples)
