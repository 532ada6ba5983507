"""The coordinator's decisions as a pure function, `tick(state, observations, policy, now) -> (state, actions, events)`.

It reads no clock, socket or file, so it can be property-tested, replayed and simulated. Each tick asks for an action
again until an observation reports it done; the executor starts nothing twice. So a coordinator killed at any point
continues after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paris.coordinator.decisions.audits import end_audits, grant_audits
from paris.coordinator.decisions.challenges import refuse_unanswered
from paris.coordinator.decisions.forgetting import forget
from paris.coordinator.decisions.intake import LONGEST_RETRY_S, apply_observation
from paris.coordinator.decisions.leases import grant_open_tasks, renew_leases, revoke_leases
from paris.coordinator.decisions.observations import (
    Action,
    AverageLanes,
    Close,
    MakeRelease,
    Observation,
    Recheck,
    Register,
    StoreLeg,
    TrainRouter,
    Verify,
)
from paris.coordinator.decisions.orders import apply_order
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.rounds import rounds_to_average, settle_rounds
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.indexes import unsettled
from paris.coordinator.state.model import State, SubmissionState
from paris.coordinator.state.orders import Order
from paris.protocol.counted import counted


@dataclass(frozen=True)
class Decision:
    """What a tick decided."""

    state: State
    actions: tuple[Action, ...]
    events: tuple[Event, ...]


def tick(
    state: State, observations: Iterable[Observation], policy: Policy, now: float, watching_since: float = 0.0
) -> Decision:
    """Apply observations and decide what to do.

    Args:
        state: What the coordinator knows; it is left as it was.
        observations: Received since the last tick, in any order; one seen before changes nothing.
        policy: The numbers to decide by.
        now: UTC seconds, by the clock that took the state's times (`clock_moves.py`).
        watching_since: When this coordinator was started, UTC seconds. While it was down it saw no heartbeat, which
            makes no lease late.

    Returns:
        The new state, the actions to carry out now, and the events for people.
    """
    draft = Draft(state)
    for observation in observations:
        if isinstance(observation, Order):
            apply_order(draft, observation, policy, now)
        else:
            apply_observation(draft, observation, policy, now)
    refuse_unanswered(draft, policy, now, watching_since)
    end_audits(draft, policy, now, watching_since)
    revoke_leases(draft, policy, now, watching_since)
    renew_leases(draft, policy, now)
    settle_rounds(draft, policy, now)
    grant_audits(draft, policy, now)
    grant_open_tasks(draft, policy, now)
    forget(draft, policy, now)
    _start_router(draft, policy)
    new = draft.finish()
    return Decision(new, tuple(_pending_actions(new, policy, now)), tuple(draft.events))


def _start_router(draft: Draft, policy: Policy) -> None:
    """Start router training once enough experts are registered."""
    num_registered = sum(task.registration is not None for task in draft.tasks.values())
    if draft.router.phase == "waiting" and 0 < policy.train_router_after <= num_registered:
        draft.router = draft.router.model_copy(update={"phase": "training"})
        draft.add_event(
            EventKind.ROUTER,
            f"{counted(num_registered, 'expert is', 'experts are')} registered: router training starts.",
        )


def _pending_actions(state: State, policy: Policy, now: float) -> Iterable[Action]:
    present = unsettled(state)
    yield from _next_to_judge(state, present, now)
    for submission in present:
        if _is_unstored_leg(state, submission):
            yield StoreLeg(submission.submission.lease_id)
        elif submission.phase == "accepted":
            yield Register(submission.submission.lease_id)
        elif submission.phase in ("rejected", "repeated"):
            yield Close(submission.submission.lease_id)
    for one in rounds_to_average(state, policy, now):
        yield AverageLanes(one.lanes[0].task.task_id, one.end, one.leases)
    if state.router.phase == "training":
        yield TrainRouter(state.router.from_samples)
    if state.release.phase == "making":
        yield MakeRelease()


def _next_to_judge(state: State, present: list[SubmissionState], now: float) -> Iterable[Verify | Recheck]:
    """The oldest work that waits for its verdict; a recheck, which trains a whole leg, only while none does."""
    # No wait is longer than LONGEST_RETRY_S: one that is was set by a clock that was ahead, before a restart.
    ready = [s for s in present if not now < s.retry_at <= now + LONGEST_RETRY_S]
    storing = {s.submission.task_id for s in present if _is_unstored_leg(state, s)}
    seen = [s for s in ready if s.phase == "seen" and s.submission.task_id not in storing]
    doubted = [s for s in ready if s.recheck and s.audit is None and s.phase in ("stored", "registered")]
    if seen:
        yield Verify(min(seen, key=lambda s: s.seen_at).submission.lease_id)
    elif doubted:
        yield Recheck(min(doubted, key=lambda s: s.seen_at).submission.lease_id)


def _is_unstored_leg(state: State, known: SubmissionState) -> bool:
    """Whether this is an accepted leg before the task's last; its task goes on when its state is stored."""
    steps = state.tasks[known.submission.task_id].task.steps
    return known.phase == "accepted" and known.submission.start_step is not None and known.submission.steps < steps
