"""What the model sees at step s: rows, captions, times, noise. A function of (run seed, task, s) alone.

Shapes: B rows, L text tokens, E text width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paris.experts.codec import Codec
from paris.experts.flow import interpolate
from paris.experts.order import RowOrder
from paris.experts.seeding import generator_for
from paris.experts.shards import ClusterData
from paris.experts.text import TextEncoder
from paris.experts.training_config import TrainingTask

_CACHE_BYTES = 256 << 20
_CHUNK_ROWS = 64


@dataclass(frozen=True)
class Batch:
    """One step's input, or a part of it.

    Args:
        x0: Data `[B, C, H, W]`.
        noise: Standard normal `[B, C, H, W]`.
        t: Flow times `[B]` in [0, 1].
        text: Text states `[B, L, E]`.
        text_mask: True where a token counts `[B, L]`.
    """

    x0: Tensor
    noise: Tensor
    t: Tensor
    text: Tensor
    text_mask: Tensor

    def __len__(self) -> int:
        return len(self.x0)

    @property
    def x_t(self) -> Tensor:
        """The noisy rows `[B, C, H, W]`."""
        return interpolate(self.x0, self.noise, self.t)

    def pieces(self, most: int) -> list[Batch]:
        """Cut into parts of at most `most` rows."""
        parts = [part.split(most) for part in (self.x0, self.noise, self.t, self.text, self.text_mask)]
        return [Batch(*fields) for fields in zip(*parts, strict=True)]

    def to(self, device: torch.device) -> Batch:
        """The same on a device; to a GPU without waiting for what it still computes."""
        fields = (self.x0, self.noise, self.t, self.text, self.text_mask)
        if device.type == "cuda":
            return Batch(*(field.pin_memory().to(device, non_blocking=True) for field in fields))
        return Batch(*(field.to(device) for field in fields))


class Captions:
    """Text states of a cluster's captions, encoded once where memory allows.

    A caption's states may differ in the last bit with what is encoded beside it. So they are always encoded in the
    same company: a shard's captions in row order, or else exactly the batch's.

    Args:
        encoder: The frozen encoder.
        data: The cluster.
        num_rows: Rows of the whole cluster.
    """

    def __init__(self, encoder: TextEncoder, data: ClusterData, num_rows: int) -> None:
        config = encoder.config
        self._encoder, self._data = encoder, data
        self._is_cached = num_rows * config.max_tokens * config.dim * 4 <= _CACHE_BYTES
        self._shards: dict[int, tuple[Tensor, Tensor]] = {}
        states, mask = encoder.encode([""])
        self._null = states[0], mask[0]

    def states(self, rows: list[tuple[int, int]], dropped: Tensor) -> tuple[Tensor, Tensor]:
        """Text states of a batch.

        Args:
            rows: Pairs of shard number and row number, B of them.
            dropped: True where the null prompt stands in `[B]`.

        Returns:
            States `[B, L, E]` and mask `[B, L]`.
        """
        if self._is_cached:
            pairs = [(states[row], mask[row]) for (states, mask), row in ((self._shard(s), row) for s, row in rows)]
            states, mask = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        else:
            states, mask = self._encoder.encode(self._data.captions(rows))
        states[dropped], mask[dropped] = self._null
        return states, mask

    def _shard(self, index: int) -> tuple[Tensor, Tensor]:
        if index not in self._shards:
            captions = self._data.shard(index).captions
            chunks = [captions[i : i + _CHUNK_ROWS] for i in range(0, len(captions), _CHUNK_ROWS)]
            states, masks = zip(*(self._encoder.encode(chunk) for chunk in chunks), strict=True)
            self._shards[index] = torch.cat(states), torch.cat(masks)
        return self._shards[index]


class Batches:
    """All batches of a task.

    Args:
        task: What is trained.
        data: The task's cluster.
        codec: From stored rows to what the model sees.
        encoder: The frozen text encoder.
    """

    def __init__(self, task: TrainingTask, data: ClusterData, codec: Codec, encoder: TextEncoder) -> None:
        self._task, self._data, self._codec = task, data, codec
        self._order = RowOrder(task.seed, task.task_id, task.shard_rows, task.training.window_shards)
        self._captions = Captions(encoder, data, self._order.num_rows)

    def batch(self, step: int) -> Batch:
        """The input of one step, on the CPU.

        Args:
            step: Number of the step, from 0.

        Raises:
            ShardError: A shard cannot be read, or has fewer rows than the task says.
        """
        config = self._task.training
        rows = self._order.batch(step, config.batch_size)
        x0 = self._codec.to_model(self._data.latents(rows))
        # One generator a step, drawn from in this order. Whole batches are drawn, so that micro-batches see the same.
        generator = generator_for(self._task.seed, "step", self._task.task_id, step)
        t = draw_times(len(rows), config.time_sampling, generator)
        dropped = torch.rand(len(rows), generator=generator) < config.caption_dropout
        noise = torch.randn(x0.shape, generator=generator)
        return Batch(x0, noise, t, *self._captions.states(rows, dropped))


def draw_times(count: int, sampling: str, generator: torch.Generator) -> Tensor:
    """Flow times of a batch.

    Args:
        count: How many.
        sampling: "uniform", or "logit-normal": the sigmoid of a standard normal.
        generator: Where the randomness comes from.

    Returns:
        `[count]` in [0, 1].

    Source: uniform, Lipman et al., arXiv 2210.02747; logit-normal, Esser et al., arXiv 2403.03206, section 3.1.
    """
    if sampling == "logit-normal":
        return torch.sigmoid(torch.randn(count, generator=generator))
    return torch.rand(count, generator=generator)
