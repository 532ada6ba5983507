"""Who comes first for a task, and who waits: good work counts, faults count less as they grow old. Pure, like `tick`.

A fault is a lease that was taken back, or work that was rejected. Keys are free, so a fresh key comes after
volunteers with accepted work, and a key that gives up over and over waits longer each time.
"""

from __future__ import annotations

from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.model import VolunteerState

_LONGEST_WAIT_S = 86400.0
_LEGS_TO_HALF = 2
"""Proven legs of a volunteer after which one of two is replayed."""


def rank(volunteer: VolunteerState, policy: Policy, now: float) -> tuple[bool, int, float, str]:
    """Place in the queue, smallest first: accepted work, then few recent faults, then long waiting."""
    faults = recent_faults(volunteer, policy, now)
    return not is_proven(volunteer, policy, now), faults, volunteer.waiting_since, volunteer.public_key


def is_proven(volunteer: VolunteerState | None, policy: Policy, now: float) -> bool:
    """Whether a volunteer has accepted work and no recent fault; False for an unknown one."""
    return volunteer is not None and volunteer.num_accepted > 0 and recent_faults(volunteer, policy, now) == 0


def recent_faults(volunteer: VolunteerState, policy: Policy, now: float) -> int:
    """Faults since the last accepted work, halved for each `policy.fault_life_s` since the last of them."""
    return volunteer.num_faults >> min(60, int(max(0.0, now - volunteer.faulted_at) / policy.fault_life_s))


def is_waited_out(volunteer: VolunteerState, policy: Policy, now: float) -> bool:
    """Whether a volunteer may get a lease again: at once after its first fault, later after each further one."""
    faults = recent_faults(volunteer, policy, now)
    wait_s = 0.0 if faults < 2 else min(policy.fault_wait_s * 2.0 ** (min(faults, 60) - 2), _LONGEST_WAIT_S)
    return now >= volunteer.faulted_at + wait_s


def replay_rate(volunteer: VolunteerState | None, policy: Policy) -> float | None:
    """Probability that a volunteer's next leg is replayed; None: no leg is."""
    if policy.replay_rate is None:
        return None
    return rate_after(0 if volunteer is None else volunteer.num_proven, policy.replay_rate)


def rate_after(proven: int, least: float) -> float:
    """Probability of a replay after n proven legs: 1 for a fresh key, then 2 / (2 + n).

    Args:
        proven: n.
        least: It never falls below that.
    """
    return max(least, _LEGS_TO_HALF / (_LEGS_TO_HALF + proven))


def with_fault(volunteer: VolunteerState, policy: Policy, now: float) -> VolunteerState:
    """The volunteer after one more fault."""
    faults = recent_faults(volunteer, policy, now) + 1
    return volunteer.model_copy(update={"num_faults": faults, "faulted_at": now})


def with_accepted_work(volunteer: VolunteerState) -> VolunteerState:
    """The volunteer after accepted work, which clears its faults."""
    update = {
        "num_accepted": volunteer.num_accepted + 1,
        "num_proven": volunteer.num_proven + 1,
        "num_faults": 0,
        "faulted_at": 0.0,
    }
    return volunteer.model_copy(update=update)
