"""Attacks by auditors, and by cheats with friends among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audited_run import CHEAT, HONEST_WORKER, AuditedRun, Auditor
from mallory import Outcome

from paris.coordinator.state.audits import AuditState
from paris.protocol.audits import PARTS, VALUES, Parts, unpacked

_AUDITS = 10
"""Of a lazy auditor, until it is given up to find it."""
_LEGS = 60


@dataclass(frozen=True)
class AuditAttack:
    """One way to misuse audits."""

    name: str
    does: str
    caught_by: str | None
    """What finds it, not in every trial; None: nothing that it could not avoid."""
    play: Callable[[int], tuple[AuditedRun, Outcome]]
    """By a seed."""


def honest(run: AuditedRun, audit: AuditState) -> Parts:
    return run.end(audit, claimed=False)


def copies(run: AuditedRun, audit: AuditState) -> Parts:
    """What was handed in."""
    return run.end(audit, claimed=True)


def recognises(run: AuditedRun, audit: AuditState) -> Parts:
    """Trains where the pull request was refused, copies elsewhere."""
    return run.end(audit, claimed=audit.bait is None)


def refuses(run: AuditedRun, audit: AuditState) -> Parts:
    """An invention."""
    return dict.fromkeys(PARTS, [1.0] * VALUES)


def refuses_baits(run: AuditedRun, audit: AuditState) -> Parts:
    """An invention where the pull request was refused; else an honest end."""
    return honest(run, audit) if audit.bait is None else refuses(run, audit)


def befriends(run: AuditedRun, audit: AuditState) -> Parts:
    """What a friend claims; of others' work an honest end."""
    return run.end(audit, claimed=audit.bait is None)


def copies_audits(run: AuditedRun, audit: AuditState) -> Parts:
    """What another auditor published of the same work; else an invention."""
    return unpacked(run.published[-1].sketch) if run.published else refuses(run, audit)


def says_nothing(run: AuditedRun, audit: AuditState) -> None:
    """Neither an audit nor a heartbeat."""


def lazy(auditor: Auditor) -> Callable[[int], tuple[AuditedRun, Outcome]]:
    """A lazy auditor beside three honest ones, after a cheat was refused; figure: its audits until it is found."""

    def play(seed: int) -> tuple[AuditedRun, Outcome]:
        run = AuditedRun(seed, [auditor, honest, honest, honest])
        while len(run.audits_of(0)) < _AUDITS and len(run.state.tasks) < _LEGS:
            run.play(HONEST_WORKER if run.state.tasks else CHEAT)
            if run.volunteer(0).copied_at or run.volunteer(0).num_faults:
                how = "copied-claim" if run.volunteer(0).copied_at else "contradicted"
                return run, Outcome(f"audits/{how}", float(len(run.audits_of(0))), float(_AUDITS))
        return run, Outcome("", float(len(run.audits_of(0))), float(_AUDITS))

    return play


def helped(friends: int, auditors: int) -> Callable[[int], tuple[AuditedRun, Outcome]]:
    """A cheat whose friends are among the auditors; figure: whether its leg passes."""

    def play(seed: int) -> tuple[AuditedRun, Outcome]:
        run = AuditedRun(seed, [befriends] * friends + [honest] * (auditors - friends))
        accepted = run.play(CHEAT).verdict.accepted
        return run, Outcome("" if accepted else "replay/distance", float(accepted), 0.0)

    return play


def late(seed: int) -> tuple[AuditedRun, Outcome]:
    """Auditors that never answer; figure: hours that a leg waited whose audit one of them had first."""
    run = AuditedRun(seed, [says_nothing, honest, honest])
    for _ in range(_LEGS):
        began = run.now
        run.play(HONEST_WORKER)
        if run.audits_of(0):
            break
    caught = "audits/late" if run.volunteer(0).num_faults else ""
    return run, Outcome(caught, (run.now - began) / 3600, run.policy.audit_s / 3600)


def plagiarised(seed: int) -> tuple[AuditedRun, Outcome]:
    """An honest auditor's no of a cheat's leg is copied by the next one; figure: audits that the copier is paid for."""
    run = AuditedRun(seed, [copies_audits, honest])
    run.play(CHEAT)
    paid = sum(audit.outcome == "right" for audit in run.audits_of(0))
    return run, Outcome("" if paid else "audits/contradicted", float(paid), 0.0)


BY_AUDITORS = (
    AuditAttack(
        "copier among auditors",
        "Audits by copying what was handed in, ten times",
        "audits/copied-claim",
        lazy(copies),
    ),
    AuditAttack(
        "copier that knows baits",
        "Trains where a pull request was refused, copies elsewhere, ten times",
        None,
        lazy(recognises),
    ),
    AuditAttack(
        "auditor that refuses all",
        "Returns inventions, ten times",
        "audits/contradicted",
        lazy(refuses),
    ),
    AuditAttack(
        "auditor that refuses what was refused",
        "Returns inventions where a pull request was refused, trains elsewhere, ten times",
        "audits/contradicted",
        lazy(refuses_baits),
    ),
    AuditAttack(
        "friend among twelve auditors",
        "A wrong leg, and one of twelve auditors confirms it",
        "replay/distance",
        helped(1, 12),
    ),
    AuditAttack(
        "four friends among twelve auditors",
        "A wrong leg, and four of twelve auditors confirm it",
        "replay/distance",
        helped(4, 12),
    ),
    AuditAttack(
        "copier of audits",
        "Returns the sketch that another auditor published of the same wrong leg",
        "audits/contradicted",
        plagiarised,
    ),
    AuditAttack(
        "auditor that never answers",
        "Takes audits and says nothing",
        "audits/late",
        late,
    ),
)
