"""Part of rung 1: the chain of a leg's snapshots, computed again from the leg's start to the submitted state."""

from __future__ import annotations

from paris.coordinator.verify.case import LegStart, VerificationCase
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.training_task import training_task
from paris.experts.training.commitments import NO_COMMITMENT, commitment_of
from paris.protocol.chain import Chain, parse_chain
from paris.protocol.errors import RecordError
from paris.protocol.hub_layout import SUBMITTED_AS
from paris.protocol.work_records import Submission


class Overtaken(Exception):
    """Other work for the leg's steps was verified meanwhile: no fault, as hardware of another kind gives other bits."""


def require_head(case: VerificationCase, chain: Chain) -> None:
    """Require that a leg passes through its task's head, if that has moved beyond the leg's start.

    Raises:
        Overtaken: It does not.
    """
    head = case.task.head
    if head is None or head.step <= chain.start.step:
        return
    if head.commitment not in [link.commitment for link in chain.links if link.step == head.step]:
        raise Overtaken(
            f"Other work was verified up to step {head.step} meanwhile, and this leg does not pass through its state. "
            "It is not needed any more."
        )


def check_stretch(case: VerificationCase, submission: Submission, checks: Checks) -> None:
    """Check that the submitted steps are those of the lease, up to a scheduled snapshot.

    Raises:
        CheckFailed: They are not.
    """
    lease, task = case.lease, case.task
    if case.leg is None or lease.start_step is None or lease.to_step is None:
        checks.require("no-leg", submission.start_step is None, "the submission is a leg, the lease is for all steps")
        checks.at_least("steps", submission.steps, task.steps, "training steps that the volunteer claims")
        return
    note = f"the leg starts at step {lease.start_step}, the submission says {submission.start_step}"
    checks.require("start-step", submission.start_step == lease.start_step, note)
    checks.at_least("steps", submission.steps, lease.start_step + 1, "steps that the leg reaches")
    checks.at_most("steps", submission.steps, lease.to_step, "steps that the leg reaches")
    every = int(case.run.training.get("snapshot_every", 1000))
    is_scheduled = submission.steps % every == 0 or submission.steps == task.steps
    checks.require("scheduled", is_scheduled, f"step {submission.steps} is no scheduled snapshot, every {every} steps")


def check_chain(case: VerificationCase, leg: LegStart, submission: Submission, checks: Checks) -> Chain:
    """Check the downloaded chain: each link follows from the one before, the last is what was submitted.

    Args:
        case: The submission and its context; the file is at `case.chain`.
        leg: Where it starts.
        submission: Passed `check_stretch`.
        checks: Records the measurements.

    Returns:
        The chain.

    Raises:
        CheckFailed: A check failed.
    """
    try:
        chain = parse_chain(case.chain.read_bytes())
    except RecordError as error:
        checks.require("chain", False, str(error)[:200])
        raise
    task, start = training_task(case, leg), case.lease.start_step or 0
    note = f"the chain is of task {chain.task[:12]}, the run's settings make {task.digest[:12]}"
    checks.require("chain-task", chain.task == task.digest, note)
    begin = leg.commitment or NO_COMMITMENT
    note = f"the chain starts at step {chain.start.step} from {chain.start.commitment[:12]}, the leg at step {start} "
    same = (chain.start.step, chain.start.commitment) == (start, begin)
    checks.require("chain-start", same, note + f"from {begin[:12]}")
    every, end = task.training.snapshot_every, submission.steps
    due = [*range((start // every + 1) * every, end, every), end]
    odd = [f"step {link.step}" for link, step in zip(chain.links, due, strict=False) if link.step != step]
    odd += [f"{len(chain.links)} instead of {len(due)}"] * (len(chain.links) != len(due))
    checks.none("chain-steps", odd, "links that are missing or at no scheduled snapshot")
    _check_links(chain, begin, checks)
    _check_end(chain, submission, checks)
    return chain


def _check_links(chain: Chain, begin: str, checks: Checks) -> None:
    before, broken = begin, []
    for link in chain.links:
        if commitment_of(before, chain.task, link.step, link.files.model_dump()) != link.commitment:
            broken.append(f"step {link.step}")
        before = link.commitment
    checks.none("chain-links", broken, "links that do not follow from the one before")


def _check_end(chain: Chain, submission: Submission, checks: Checks) -> None:
    last = chain.links[-1]
    note = f"the chain ends with {last.commitment[:12]}, signed was {submission.commitment[:12]}"
    checks.require("chain-end", last.commitment == submission.commitment, note)
    digests = {file.path.rpartition("/")[2]: file.sha256 for file in submission.files}
    files = last.files.model_dump()
    odd = [name for part, name in SUBMITTED_AS.items() if digests.get(name, files[part]) != files[part]]
    checks.none("chain-files", odd, "submitted files that are not those of the chain's last link")
