"""Credits: what each volunteer's verified work is worth. Pure, like `tick`.

They follow from the verdicts, which are kept for ever, unlike the volunteers: withdrawn work counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paris.coordinator.state.model import LeaseState, State, SubmissionState


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
    chained = {s.submission.commitment for s in state.submissions.values() if s.phase in ("stored", "registered")}
    steps, seconds, repeated, audited = dict[str, int](), dict[str, float](), dict[str, int](), dict[str, int]()
    names = {known.signer: known.submission.name for known in state.submissions.values()}
    for known in state.submissions.values():
        if known.verdict is None or not known.verdict.accepted or known.phase == "withdrawn":
            continue
        paid, took_s = _credit(known, state.leases)
        if known.phase not in ("repeated", "closed"):
            steps[known.signer] = steps.get(known.signer, 0) + paid
            seconds[known.signer] = seconds.get(known.signer, 0.0) + took_s
        elif known.submission.commitment in chained:
            repeated[known.signer] = repeated.get(known.signer, 0) + paid
    for audit in state.audits.values():
        if audit.outcome in ("right", "unused"):
            names.setdefault(audit.volunteer, audit.name)
            audited[audit.volunteer] = audited.get(audit.volunteer, 0) + audit.num_steps
    total = max(1, sum(steps.values()))
    found = [
        Credit(
            public_key=key,
            name=names[key],
            steps=steps.get(key, 0),
            seconds=seconds.get(key, 0.0),
            repeated_steps=repeated.get(key, 0),
            audited_steps=audited.get(key, 0),
            share=steps.get(key, 0) / total,
        )
        for key in steps.keys() | repeated.keys() | audited.keys()
    ]
    return sorted(found, key=lambda credit: (-credit.steps, -credit.repeated_steps, credit.public_key))


def seconds_of(known: SubmissionState, held: LeaseState) -> float:
    """Time from the grant to the submission, as the coordinator saw it."""
    return max(0.0, known.seen_at - held.lease.granted_at)


def _credit(known: SubmissionState, leases: Mapping[str, LeaseState]) -> tuple[int, float]:
    """Steps and seconds of an accepted submission: those of its verdict, or for work without legs its own."""
    verdict, held = known.verdict, leases.get(known.submission.lease_id)
    if verdict is not None and verdict.credit_steps is not None:
        return verdict.credit_steps, verdict.credit_s or 0.0
    return known.submission.steps, 0.0 if held is None else seconds_of(known, held)
