"""Rung 5: stretches of a leg, drawn when it was handed in, are trained again and end where the volunteer says.

They are trained by other volunteers (`audit_votes.py`), or here where there are none or these do not pass them. Equal
bits need no bound. Other machines round otherwise: then the distance of the two ends is bounded, relative to the length
of the stretch (`paris.experts.training.state_distance`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from paris.coordinator.verify.audit_votes import CLAIMED, AuditNeeded, Votes
from paris.coordinator.verify.case import REPLAY_FOLDER, LegStart, VerificationCase
from paris.coordinator.verify.claimed_states import ClaimedStates
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.training_task import training_task
from paris.experts.errors import CheckpointError, DivergedError, SnapshotError
from paris.experts.training.commitments import FILES
from paris.experts.training.leg import HEAD_FOLDER, Leg
from paris.experts.training.machine import MachineSettings
from paris.experts.training.replay import Replay
from paris.protocol.chain import Chain
from paris.protocol.draws import Stretch, draw
from paris.protocol.lanes import lane_of


class SnapshotsMissing(Exception):
    """A replay needs snapshots that only the volunteer has.

    Args:
        steps: Of the snapshots, one or two.
    """

    def __init__(self, steps: tuple[int, ...]) -> None:
        self.steps = steps
        super().__init__(f"The snapshots at steps {steps} are needed.")


def drawn_stretches(case: VerificationCase, chain: Chain) -> tuple[Stretch, ...]:
    """The stretches of a leg that are to be replayed; none where the run replays none, and all as one in a recheck."""
    if case.recheck:
        return (Stretch(chain.start.step, chain.links[-1].step),)
    if case.draw_secret is None or case.replay_rate is None:
        return ()
    steps = [link.step for link in chain.links]
    return draw(case.draw_secret, chain.links[-1].commitment, steps, chain.start.step, case.replay_rate)


def check_replay(
    case: VerificationCase,
    leg: LegStart,
    chain: Chain,
    stretches: Sequence[Stretch],
    limits: dict[str, int],
    checks: Checks,
    votes: Votes | None = None,
) -> None:
    """Train the drawn stretches again and compare their ends.

    Args:
        case: The submission and its context.
        leg: Where it starts.
        chain: Of the leg, checked.
        stretches: From `drawn_stretches`.
        limits: Largest file of each of `FILES`, in bytes.
        checks: Records the measurements.
        votes: What auditors said; None: the run has none.

    Raises:
        CheckFailed: An end is too far away, or a snapshot is not what the volunteer committed to.
        SnapshotsMissing: The volunteer must be asked for snapshots; what was replayed so far stays on disk, as it does
            for another try after the following errors.
        AuditNeeded: Another volunteer must be asked to audit.
        HubError: The Hub did not answer; nothing is decided.
        ExpertError: The stretch could not be trained here.
    """
    states = ClaimedStates(case, chain, limits)
    place = case.work_dir / REPLAY_FOLDER
    try:
        for stretch in stretches:
            folder = place / f"{stretch.start:08d}"
            if not _is_kept(case, states, stretch, checks):
                continue
            if votes is None or not case.audited or not _is_passed(votes, states, stretch, folder, checks):
                _check_stretch(case, leg, states, stretch, folder, checks, votes)
    except CheckFailed:
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place, ignore_errors=True)


def _is_kept(case: VerificationCase, states: ClaimedStates, stretch: Stretch, checks: Checks) -> bool:
    """Whether a stretch is to be trained again; the head from which it starts may be gone.

    A recheck passes nothing that is not trained: `SnapshotsMissing` is raised for it.
    """
    start = stretch.start
    if case.recheck or start == 0 or start != case.lease.start_step or states.at_hand(start):
        return True
    checks.require("start", True, f"the verified state at step {start} is no longer kept: not replayed")
    return False


def _is_passed(votes: Votes, states: ClaimedStates, stretch: Stretch, folder: Path, checks: Checks) -> bool:
    """Whether auditors pass a stretch; where not, this machine trains it.

    The claimed end is asked for after the first of them: until then a claim in mid leg cannot be copied.
    """
    start, end = stretch
    if start > 0 and len(states.at_hand(start)) < len(FILES):
        raise SnapshotsMissing((start,))
    if not votes.of(stretch):
        raise AuditNeeded(stretch, states.audit_start(start, checks))
    if not states.at_hand(end):
        raise SnapshotsMissing((end,))
    return votes.passes(states, stretch, folder, checks)


def _check_stretch(
    case: VerificationCase,
    leg: LegStart,
    states: ClaimedStates,
    stretch: Stretch,
    folder: Path,
    checks: Checks,
    votes: Votes | None,
) -> None:
    """Train a stretch here and compare the ends; say what the auditors' are worth."""
    start, end = stretch
    if start > 0 and len(states.at_hand(start)) < len(FILES):
        raise SnapshotsMissing((start,) if states.at_hand(end) else (start, end))
    if start > 0 and not (folder / "snapshots").exists():
        states.fetch(start, folder / HEAD_FOLDER, checks)
    again = Leg(until_step=end, head=states.head(start), lane=lane_of(case.task.task_id))
    replay = Replay(training_task(case, leg), again, folder, case.text_folder)
    machine = MachineSettings(device=case.device, num_threads=case.num_threads or torch.get_num_threads())
    try:
        reached = replay.run(case.shards.__getitem__, machine)
    except (SnapshotError, DivergedError) as error:
        if start == case.lease.start_step:
            raise
        checks.require("snapshot", False, f"training cannot go on from the state at step {start}: {error.what[:150]}")
        raise
    if votes is not None:
        votes.settle(stretch, replay)
    # After a task's last step nothing goes on from weights and moments: the EMA weights alone count.
    claimed, at_hand = states.digests(end), states.at_hand(end)
    if all(reached.files[name] == claimed[name] for name in at_hand or FILES):
        checks.remark(f"steps {start} to {end}: equal in every bit")
        checks.at_most("distance", 0.0, _bound(replay, case), _note(stretch))
        return
    if not at_hand:
        raise SnapshotsMissing((end,))
    _compare(case, states, stretch, replay, folder / CLAIMED, checks, votes)


def _compare(
    case: VerificationCase,
    states: ClaimedStates,
    stretch: Stretch,
    replay: Replay,
    claimed: Path,
    checks: Checks,
    votes: Votes | None,
) -> None:
    """Bound the distance of a claimed end, which has other bits, from that of the replay."""
    end, bound = stretch.end, _bound(replay, case)
    states.fetch(end, claimed, checks)
    try:
        found = replay.distance(claimed, states.at_hand(end))
    except CheckpointError as error:
        checks.require("snapshot", False, f"the state at step {end} is not sound: {error.what[:150]}")
        raise
    if votes is not None and not case.recheck and max(found.weights, found.moments) > bound:
        votes.add_baits(states, stretch, replay, claimed, checks)
    checks.at_most("distance", found.weights, bound, _note(stretch))
    note = f"distance of the optimizer's moments at step {end} from those trained again"
    checks.at_most("moments", found.moments, bound, note)
    checks.remark(f"steps {stretch.start} to {end}: equal within rounding, not in every bit")


def _bound(replay: Replay, case: VerificationCase) -> float:
    return case.bounds.max_replay(replay.task.training.precision)


def _note(stretch: Stretch) -> str:
    return f"distance from steps {stretch.start} to {stretch.end} trained again, relative to their way"
