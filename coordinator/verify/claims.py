"""The training loss that a volunteer claims, against a trusted training and against its own weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from paris.coordinator.errors import NotReadyError
from paris.coordinator.verify.case import LegStart, VerificationCase
from paris.coordinator.verify.curves import ScoredPoint
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.scoring import Scoring
from paris.coordinator.verify.training_task import training_task
from paris.experts.data.cluster import ClusterData
from paris.experts.seeding import generator_for
from paris.experts.training.batches import Batches
from paris.experts.training.ema import ema_decay_at
from paris.experts.training.loop import LOSS_DECAY
from paris.protocol.lanes import lane_of

_MOST_ROWS = 64
"""Rows of a training batch that are scored together: bounds the memory."""
_MOST_STEPS = 400
"""Older steps weigh nothing in the running mean that is claimed."""


def check_claim(
    case: VerificationCase,
    scoring: Scoring,
    weights: Mapping[str, Tensor],
    claim: tuple[float, int],
    reference: ScoredPoint | None,
    checks: Checks,
) -> None:
    """Check the claimed loss.

    Args:
        case: The submission and its context.
        scoring: Has the run's model, text encoder and codec.
        weights: The submitted weights.
        claim: The training loss that the volunteer signed, and the step at which it was reached.
        reference: A trusted training of the same cluster at that step, if there is one.
        checks: Records the measurements.

    Raises:
        CheckFailed: A check failed.
        NotReadyError: A published shard is missing.
    """
    (claimed, step), bounds = claim, case.bounds
    if reference is not None:
        note = f"factor between the claimed training loss {claimed:.4g} and that of the reference at step {step}"
        ratio = _factor(claimed, reference.training_loss)
        checks.at_most("claim-of-reference", ratio, bounds.max_reference_claim_ratio, note)
    if not case.shards:
        checks.remark("the claimed loss was not checked: no published shards are at hand")
        return
    measured = training_loss(case, scoring, weights, step)
    note = f"factor between the claimed training loss {claimed:.4g} and the measured {measured:.4g}"
    checks.at_most("claimed-loss", _factor(claimed, measured), bounds.max_claim_ratio, note)


def _factor(claimed: float, other: float) -> float:
    """The larger by the smaller."""
    return math.inf if claimed <= 0 or other <= 0 else max(claimed / other, other / claimed)


@torch.no_grad()
def training_loss(case: VerificationCase, scoring: Scoring, weights: Mapping[str, Tensor], last_step: int) -> float:
    """Mean loss on batches of the last steps of the task's own training, drawn in secret.

    They are the same batches, times and noises as in the volunteer's training, each drawn with its weight in the
    running mean that the volunteer claims.

    Args:
        case: The submission and its context.
        scoring: Has the run's model, text encoder and codec.
        weights: The weights to score.
        last_step: How many steps they were trained.

    Raises:
        NotReadyError: A published shard is missing.
    """
    if missing := [path for path in case.shards if not path.is_file()]:
        raise NotReadyError(f"{missing[0]} is missing.", "Prepare the run's data again, or restore the file.")
    data = ClusterData(case.shards)
    lane = lane_of(case.task.task_id)
    model, task = scoring.model(weights), training_task(case, LegStart(shard_rows=data.shard_rows))
    objective, batches = task.training.objective, Batches(task, data, scoring.codec, scoring.encoder, lane)
    steps, total = _drawn_steps(case, last_step), 0.0
    for step in steps:
        batch = batches.batch(step).to(scoring.device)
        for piece in batch.split(_MOST_ROWS):
            seen = objective.add_noise(piece.x0, piece.noise, piece.t)
            output = model(seen, piece.t, piece.text, piece.text_mask)
            total += float(objective.loss(output, piece.x0, piece.noise)) * len(piece) / len(batch)
    return total / len(steps)


def _drawn_steps(case: VerificationCase, last_step: int) -> list[int]:
    first, kept, weights = max(0, last_step - _MOST_STEPS), 1.0, []
    for step in range(last_step - 1, first - 1, -1):
        decay = 0.0 if step == 0 else ema_decay_at(step, LOSS_DECAY)
        weights.append((1.0 - decay) * kept)
        kept *= decay
    generator = generator_for(case.seed, "claimed-loss", case.lease.lease_id)
    count = max(1, case.bounds.claim_rows // case.task.batch_size)
    drawn = torch.multinomial(torch.tensor(weights), count, replacement=True, generator=generator)
    return [last_step - 1 - back for back in drawn.tolist()]
