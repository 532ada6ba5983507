"""One optimizer step, from a batch to new weights and their moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paris.experts.objectives.objectives import FLOW_MATCHING, Objective
from paris.experts.training.batches import Batch
from paris.experts.training.ema import ema_decay_at
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.precision import autocast
from paris.experts.training.state import TrainState


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The loss `[]` of an expert, in float32."""
    return (output.float() - target.float()).square().mean()


@dataclass(frozen=True)
class TrainStep:
    """One optimizer step of an expert, a student or a router, which differ in target and criterion alone."""

    state: TrainState
    micro_batch: MicroBatch
    objective: Objective = FLOW_MATCHING
    """The noise path, and the target of batches that bring none."""
    criterion: Callable[[Tensor, Tensor], Tensor] = mean_squared_error
    """Output and target to the mean loss `[]`."""

    def __call__(self, batch: Batch) -> Tensor:
        """Take one step on a batch that is on the model's device; returns its mean loss `[]`, without waiting for it.

        Raises:
            TrainingError: Not even one row fits into memory; the weights are unchanged.
        """
        loss = self.micro_batch.run(self.backward, batch)  # again in smaller pieces when the device is full
        self.update()
        return loss

    def backward(self, pieces: Sequence[Batch]) -> Tensor:
        """Replace the gradients by those of the mean loss over all pieces; returns that loss `[]`."""
        state, num_rows = self.state, sum(len(piece) for piece in pieces)
        state.zero_grad()
        total = torch.zeros((), dtype=torch.float32, device=state.device)
        for piece in pieces:
            x_t = self.objective.add_noise(piece.x0, piece.noise, piece.t)
            target = self.objective.target(piece.x0, piece.noise) if piece.target is None else piece.target
            with autocast(state.device, state.config.precision):
                output = state.model(x_t, piece.t, piece.text, piece.text_mask)
            loss = self.criterion(output, target) * (len(piece) / num_rows)
            (loss * state.scale).backward()
            total += loss.detach()
        return total

    @torch.no_grad()
    def update(self) -> None:
        """Clip, AdamW, EMA. Gradients that overflow under a loss scale change no weight."""
        state, config, step = self.state, self.state.config, self.state.step
        norm = nn.utils.get_total_norm([parameter.grad for parameter in state.parameters.values()])
        divisor = state.scale * (norm / state.scale / (config.grad_clip or math.inf)).clamp(min=1.0)
        overflow = None if state.loss_scale is None else state.loss_scale.update(norm)
        learning_rate = config.learning_rate_at(step)
        ema_decay = ema_decay_at(step, config.ema_decay)
        state.ema.wait()  # for its stream, which may still read the weights
        for names in state.buckets:  # bucket by bucket, so that the EMA finds the weights in the CPU's cache
            state.optimizer.update(names, step, learning_rate, divisor, overflow)
            state.ema.update(names, ema_decay)
        state.step += 1
