"""Credits: what each volunteer's verified work is worth. Pure, like `tick`.

They follow from the verdicts, which are kept for ever, unlike the volunteers: withdrawn work counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from paris.coordinator.state.indexes import indexes_of, submissions_of
from paris.coordinator.state.model import LeaseState, State, SubmissionState

_CHAINED = ("stored", "registered")


@dataclass(frozen=True)
class Credit:
    """What one volunteer's work is worth."""

    public_key: str
    name: str
    """As in its last submission."""
    steps: int = 0
    """Verified optimizer steps, of which the run's experts are made."""
    seconds: float = 0.0
    """From each lease to its submission."""
    repeated_steps: int = 0
    """Of legs that equal those of others. They cost no training to claim (docs/threat-model.md), so they are counted
    apart."""
    audited_steps: int = 0
    """Trained again for audits that were right, or whose work was settled without a vote."""
    share: float = 0.0
    """Of all steps."""


def credits_of(state: State) -> list[Credit]:
    """The credits of a run, the most first."""
    people = {*indexes_of(state).of_signer.names(), *indexes_of(state).of_auditor.names()}
    found = [credit for key in people if (credit := credit_of(state, key)) is not None]
    total = max(1, sum(credit.steps for credit in found))
    found = [replace(credit, share=credit.steps / total) for credit in found]
    return sorted(found, key=lambda credit: (-credit.steps, -credit.repeated_steps, credit.public_key))


def credit_of(state: State, public_key: str) -> Credit | None:
    """The credit of one volunteer without its share, which follows from all; None: nothing of it is verified."""
    work = [state.submissions[lease_id] for lease_id in indexes_of(state).of_signer.of(public_key)]
    audits = [state.audits[lease_id] for lease_id in indexes_of(state).of_auditor.of(public_key)]
    done = [audit for audit in audits if audit.outcome in ("right", "unused")]
    own, repeated = [], []
    for known in work:
        if known.verdict is None or not known.verdict.accepted or known.phase == "withdrawn":
            continue
        if known.phase not in ("repeated", "closed"):
            own.append(_credit(known, state.leases))
        elif _is_chained(state, known):
            repeated.append(_credit(known, state.leases))
    if not own and not repeated and not done:
        return None
    return Credit(
        public_key=public_key,
        name=work[-1].submission.name if work else done[0].name,
        steps=sum(paid for paid, _ in own),
        seconds=sum((took_s for _, took_s in own), 0.0),
        repeated_steps=sum(paid for paid, _ in repeated),
        audited_steps=sum(audit.num_steps for audit in done),
    )


def changed_credits(old: State, new: State) -> set[str]:
    """The volunteers whose credits may differ between a state and one that follows it."""
    found: set[str] = set()
    for lease_id, known in new.submissions.items() if old.submissions is not new.submissions else ():
        before = old.submissions.get(lease_id)
        if before is known:
            continue
        found.add(known.signer)
        if before is None or (before.phase in _CHAINED) != (known.phase in _CHAINED):
            found |= {other.signer for other in submissions_of(new, known.submission.task_id)}
    for lease_id, audit in new.audits.items() if old.audits is not new.audits else ():
        if old.audits.get(lease_id) is not audit:
            found.add(audit.volunteer)
    return found


def _is_chained(state: State, known: SubmissionState) -> bool:
    """Whether the expert goes on from the state that work ended with."""
    others = submissions_of(state, known.submission.task_id)
    return any(s.phase in _CHAINED and s.submission.commitment == known.submission.commitment for s in others)


def seconds_of(known: SubmissionState, held: LeaseState) -> float:
    """Time from the grant to the submission, as the coordinator saw it."""
    return max(0.0, known.seen_at - held.lease.granted_at)


def _credit(known: SubmissionState, leases: Mapping[str, LeaseState]) -> tuple[int, float]:
    """Steps and seconds of an accepted submission: those of its verdict, or for work without legs its own."""
    verdict, held = known.verdict, leases.get(known.submission.lease_id)
    if verdict is not None and verdict.credit_steps is not None:
        return verdict.credit_steps, verdict.credit_s or 0.0
    return known.submission.steps, 0.0 if held is None else seconds_of(known, held)
