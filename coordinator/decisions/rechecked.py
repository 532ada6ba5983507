"""What comes of rechecks: work that stands, or a roll-back that the organiser can undo. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.audit_ends import count_votes, votes_stand
from paris.coordinator.decisions.observations import Rechecked
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.rolling import legs_with_waiting, roll_back
from paris.coordinator.decisions.trust import with_fault
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import SubmissionState
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.lanes import expert_of


def apply_rechecked(draft: Draft, rechecked: Rechecked, policy: Policy, now: float) -> None:
    """Take in the result of a recheck; one of work that was withdrawn meanwhile changes nothing."""
    known = draft.submissions.get(rechecked.lease_id)
    if known is None or not known.recheck or not votes_stand(draft, rechecked.votes):
        return
    known = known.model_copy(update={"recheck": False, "was_rechecked": True})
    draft.put_submission(known)
    count_votes(draft, known, rechecked.votes, rechecked.passed, policy, now)
    s = known.submission
    stretch = f"{s.task_id}: {s.name}'s steps {s.start_step or 0} to {s.steps}"
    if rechecked.passed:
        draft.add_event(EventKind.AUDIT, f"{stretch} were trained again and stand.")
        return
    draft.add_event(EventKind.PROBLEM, f"{stretch} do not stand: {rechecked.reason}")
    volunteer = draft.volunteers.get(known.signer)
    if volunteer is not None:
        faulty = volunteer.model_copy(update={"num_proven": 0, "num_rejected": volunteer.num_rejected + 1})
        draft.put_volunteer(with_fault(faulty, policy, now))
    _withdraw(draft, known, policy, now)


def _withdraw(draft: Draft, known: SubmissionState, policy: Policy, now: float) -> None:
    """Roll the expert back to where the work starts, if the policy allows it; else name the command.

    A roll-back takes all lanes back, so the legs beside the work in its round are others' too.
    """
    s, expert = known.submission, expert_of(known.submission.task_id)
    step = s.start_step or 0
    legs = [leg for leg in legs_with_waiting(draft, expert) if leg.submission.steps > step]
    others = {leg.submission.name for leg in legs if leg.signer != known.signer}
    is_allowed = policy.roll_back_wrong == "always" or (policy.roll_back_wrong == "unbuilt" and not others)
    if not is_allowed:
        too = f", and the legs of {', '.join(sorted(others))} with them" if others else ""
        command = f"paris-coord roll-back RUN {expert} --to {step}"
        draft.add_event(EventKind.PROBLEM, f"{s.task_id}: {command} withdraws them{too}.")
        return
    reason = f"an audit refused {s.name}'s steps; paris-coord roll-back RUN {expert} --undo brings them back"
    roll_back(draft, Order(OrderKind.ROLL_BACK, expert, reason, step), policy, now)
