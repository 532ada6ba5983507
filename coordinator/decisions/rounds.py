"""Rounds: the lanes of an expert start from one state, end at one step, and go on from the mean. Pure, like `tick`.

    lane 0   head --- leg ---------> end -.
    lane 1   head --- leg -- leg --> end --+-- mean = next head
    lane 2   head --- leg --- (late)      |

A round is over when every lane that has begun is verified up to its end, or when the others have had as long again as
the first; work that came by then is waited for until its verdict, but for snapshots that its volunteer was asked for
no longer than that again. A lane that has not begun when the first is verified
is left out. So a single volunteer makes a relay, with its very bits. The last round is lane 0's alone: what is
registered is one volunteer's work, verified by the whole ladder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from paris.coordinator.decisions.legs import is_at_round_start, kept_heads, kept_steps, round_end, start_of
from paris.coordinator.decisions.observations import LanesAveraged, LanesLost
from paris.coordinator.decisions.parallel import live_leases, live_leases_of, take_back
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.rechecks import states_of_rechecks
from paris.coordinator.decisions.relay import settle_waiting
from paris.coordinator.decisions.rolling import roll_back
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import submissions_of, unsettled
from paris.coordinator.state.model import WAITING, RoundState, State, SubmissionState, TaskState
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.counted import numbered
from paris.protocol.lanes import expert_of, lane_of
from paris.protocol.run_records import Head, LaneEnd, Task


@dataclass(frozen=True)
class Round:
    """The present round of an expert."""

    lanes: tuple[TaskState, ...]
    """Of the policy's number, the expert's own task first."""
    spare: tuple[TaskState, ...]
    """Lanes of an earlier, larger number."""
    end: int
    """Its last step; beyond the task's last one: lane 0 goes on alone."""
    finished: tuple[TaskState, ...]
    """Lanes that are verified up to `end`."""
    begun: tuple[TaskState, ...]
    """Other lanes with a lease, or with work that is not settled."""
    is_over: bool
    """Whether the finished ones go on now."""

    @property
    def leases(self) -> tuple[str, ...]:
        """The leases whose work the finished lanes ended with."""
        return tuple(lane.head_lease_id or "" for lane in self.finished)


def rounds_of(state: State | Draft, policy: Policy, now: float) -> list[Round]:
    """The rounds of all experts that have several lanes, or had."""
    by_expert: dict[str, list[TaskState]] = {}
    for task_id in sorted(state.tasks, key=lane_of):
        by_expert.setdefault(expert_of(task_id), []).append(state.tasks[task_id])
    several = [lanes for lanes in by_expert.values() if len(lanes) > 1 or lanes[0].is_waiting]
    if not several:
        return []
    work = _work_of(state)
    return [_round_of(state, work, lanes, policy, now) for lanes in several]


class _Work(NamedTuple):
    """Tasks with work that is not settled."""

    begun: frozenset[str]
    """It is worked on, or waits for a verdict."""
    unstored: frozenset[str]
    """It passed."""
    waiting: Mapping[str, list[SubmissionState]]
    """Work of the present round that waits for its verdict, by task."""


def _work_of(state: State | Draft) -> _Work:
    leased = {held.lease.task_id for held in live_leases(state)}
    present = unsettled(state)
    unstored = {s.submission.task_id for s in present if s.phase == "accepted"}
    waiting: dict[str, list[SubmissionState]] = {}
    for known in present:
        s = known.submission
        if known.phase in WAITING and s.steps > start_of(state.tasks[s.task_id].task):
            waiting.setdefault(s.task_id, []).append(known)
    return _Work(frozenset(leased | unstored | waiting.keys()), frozenset(unstored), waiting)


def _round_of(state: State | Draft, work: _Work, lanes: list[TaskState], policy: Policy, now: float) -> Round:
    own, used = lanes[0], lanes[: policy.lanes]
    ended = [lane for lane in used if lane.is_waiting and lane.head_lease_id]
    end = round_end(own.task, policy)
    if own in ended and all(start_of(lane.task) < end for lane in ended):
        end = start_of(own.task)  # else lane 0 was closed before its end, since it had not begun
    finished = [lane for lane in ended if start_of(lane.task) == end]
    others = [lane for lane in used if lane not in finished]
    begun = [lane for lane in others if lane.task.task_id in work.begun]
    is_over = bool(finished) and not any(lane.task.task_id in work.unstored for lane in begun)
    if begun and is_over:
        first = min((state.submissions[lane.head_lease_id or ""] for lane in finished), key=lambda s: s.stored_at)
        took_s = first.stored_at - state.leases[first.submission.lease_id].lease.granted_at
        patience_s = took_s + own.task.grace_s
        limit = first.stored_at + patience_s
        in_time = [s for lane in begun for s in work.waiting.get(lane.task.task_id, []) if s.seen_at <= limit]
        is_over = now > limit and all(_is_silent(s, patience_s, policy, now) for s in in_time)
    return Round(tuple(used), tuple(lanes[policy.lanes :]), end, tuple(finished), tuple(begun), is_over)


def _is_silent(known: SubmissionState, patience_s: float, policy: Policy, now: float) -> bool:
    """Whether a volunteer has not given the snapshots that it was asked for, for so long."""
    return known.challenge is not None and now > known.challenge.answer_until - policy.answer_s + patience_s


def settle_rounds(draft: Draft, policy: Policy, now: float) -> None:
    """Close lanes that cannot take part now, open those that can, and start the next round from a single state."""
    for present in rounds_of(draft, policy, now):
        own, others = present.lanes[0], present.lanes[1:]
        for lane in present.spare:
            _close(draft, lane, "The run has fewer lanes now.")
        if own.registration is not None or (present.end >= own.task.steps and not present.finished):
            for lane in others:
                _close(draft, lane, "Lane 0 ends the expert.")
        elif not present.finished:
            _open_lanes(draft, own, others, policy)
        elif present.is_over and len(present.finished) == 1:
            (lane,) = present.finished
            _next_round(draft, present, lane.task.head, None, policy, now)
        else:
            for lane in present.lanes:
                if lane not in present.finished and lane not in present.begun:
                    _close(draft, lane, "")


def rounds_to_average(state: State | Draft, policy: Policy, now: float) -> Iterable[Round]:
    """The rounds that several lanes ended: their mean is to be computed."""
    return (one for one in rounds_of(state, policy, now) if one.is_over and len(one.finished) > 1)


def apply_lanes_averaged(draft: Draft, averaged: LanesAveraged, policy: Policy, now: float) -> None:
    """The expert goes on from the mean, unless its lanes were rolled back, or a further one was verified meanwhile."""
    found = [one for one in rounds_of(draft, policy, now) if one.lanes[0].task.task_id == averaged.task_id]
    if not found or not found[0].is_over:
        return
    used = tuple(lease_id for lease_id in found[0].leases if lease_id not in averaged.left_out)
    if averaged.head.step != found[0].end or averaged.leases != used:
        return
    _tell_averaged(draft, averaged)
    ends = tuple(
        LaneEnd(task_id=lane.task.task_id, commitment=end.commitment, commit=end.commit)
        for lane in found[0].finished
        if lane.head_lease_id in used and (end := lane.task.head) is not None
    )
    # The end of a single lane is no mean: the expert goes on as in a relay.
    _next_round(draft, found[0], averaged.head, ends if len(ends) > 1 else None, policy, now)


def apply_lanes_lost(draft: Draft, lost: LanesLost, policy: Policy, now: float) -> None:
    """The round cannot be gone on from: the expert is rolled back to its newest kept state before it."""
    found = [one for one in rounds_of(draft, policy, now) if one.lanes[0].task.task_id == lost.task_id]
    if not found or not found[0].is_over or found[0].leases != lost.leases:
        return
    kept = kept_heads(draft.tasks, submissions_of(draft, lost.task_id), lost.task_id)
    step = max((head.step for head in kept if head.step < found[0].end), default=0)
    undo = f"restore one, then paris-coord roll-back RUN {lost.task_id} --undo brings them back"
    reason = f"the Hub has none of the states that its lanes ended with at step {found[0].end}; {undo}"
    roll_back(draft, Order(OrderKind.ROLL_BACK, lost.task_id, reason, step), policy, now)


def _tell_averaged(draft: Draft, averaged: LanesAveraged) -> None:
    names, left_out = _names(draft, averaged.leases), _names(draft, averaged.left_out)
    number = len(averaged.leases)
    whose = f"the mean of {number} lanes, by {names}," if number > 1 else f"the end of the lane of {names}"
    what = f"{whose} is the state at step {averaged.head.step}"
    draft.add_event(EventKind.STORED, f"{averaged.task_id}: {what}.")
    if averaged.left_out:
        why = f"the lane of {left_out} is left out: its state is not on the Hub, or no mean could be computed"
        draft.add_event(EventKind.PROBLEM, f"{averaged.task_id}: {why}.")


def _names(draft: Draft, leases: tuple[str, ...]) -> str:
    return ", ".join(sorted({draft.submissions[lease_id].submission.name for lease_id in leases}))


def _next_round(
    draft: Draft, ended: Round, head: Head | None, ends: tuple[LaneEnd, ...] | None, policy: Policy, now: float
) -> None:
    """All lanes go on from one state; what is still worked on in this round is late."""
    for lane in ended.lanes:
        _take_back_all(draft, lane, "The other lanes of its round went on without it.")
        lease_id = lane.head_lease_id if lane in ended.finished else None
        draft.put_task(lane.at_head(head, lease_id, ends if lane is ended.lanes[0] else None))
    own = draft.tasks[ended.lanes[0].task.task_id]
    reached = tuple(one for one in own.rounds if one.step < ended.end)
    if ends is not None and head is not None:
        reached += (RoundState(step=head.step, commitment=head.commitment, head=head),)
    if reached != own.rounds:
        draft.put_task(own.model_copy(update={"rounds": _forgetting(draft, own.task, reached)}))
    if _is_lane_0s_alone(own.task, policy):
        for lane in ended.lanes[1:]:
            draft.put_task(draft.tasks[lane.task.task_id].waiting())
    for lane in ended.lanes:
        _tell_silent(draft, lane)
        settle_waiting(draft, lane.task.task_id, policy, now)


def _tell_silent(draft: Draft, lane: TaskState) -> None:
    """Name who has not given what it was asked for, in a round that goes on without it."""
    for known in unsettled(draft):
        s = known.submission
        if s.task_id == lane.task.task_id and known.challenge is not None and s.steps > start_of(lane.task):
            steps = numbered("step", known.challenge.steps)
            why = f"{s.name} has not given the state at {steps}, which it was asked for"
            draft.add_event(EventKind.PROBLEM, f"{s.task_id}: its round goes on without it: {why}.")


def _is_lane_0s_alone(own: Task, policy: Policy) -> bool:
    """Whether an expert's present round is its last."""
    return round_end(own, policy) >= own.steps


def _forgetting(draft: Draft, own: Task, rounds: tuple[RoundState, ...]) -> tuple[RoundState, ...]:
    kept = kept_steps((one.step for one in rounds if one.head is not None), own.steps)
    kept |= states_of_rechecks(draft, own.task_id)
    return tuple(one if one.step in kept else one.model_copy(update={"head": None}) for one in rounds)


def _open_lanes(draft: Draft, own: TaskState, others: tuple[TaskState, ...], policy: Policy) -> None:
    """Let the lanes that are in another round join this one, or close them until its end where it goes on already."""
    if own.is_waiting:  # for lanes that the run has no more
        draft.put_task(own.reopened())
    for lane in others:
        if not lane.is_waiting and round_end(lane.task, policy) == round_end(own.task, policy):
            continue
        _close(draft, lane, "The other lanes are in another round.")
        if is_at_round_start(own.task, policy):
            draft.put_task(lane.at_head(own.task.head, None))


def _close(draft: Draft, lane: TaskState, reason: str) -> None:
    if not lane.is_waiting:
        _take_back_all(draft, lane, reason)
        draft.put_task(lane.waiting())


def _take_back_all(draft: Draft, lane: TaskState, reason: str) -> None:
    for held in live_leases_of(draft, lane.task.task_id):
        take_back(draft, held, reason)
