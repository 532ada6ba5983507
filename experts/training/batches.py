"""What the model sees at step s: rows, captions, times, noise. A function of (run seed, task, s) alone.

Shapes: B rows, L text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from paris.experts.data.cluster import ClusterData
from paris.experts.data.order import RowOrder
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.objectives.objectives import Objective
from paris.experts.seeding import generator_for
from paris.experts.training.config import TrainingTask

_CACHE_BYTES = 256 << 20
_CHUNK_ROWS = 64
_TOKENS_MULTIPLE = 8


@dataclass(frozen=True)
class Batch:
    """One step's input, or a part of it.

    Args:
        x0: Data `[B, C, H, W]`.
        noise: Standard normal `[B, C, H, W]`.
        t: Flow times `[B]` in [0, 1].
        text: Text states `[B, L, E]`.
        text_mask: True where a token counts `[B, L]`; None where all do.
        target: The velocity to be learned, float32 `[B, C, H, W]`; None: what data and noise say themselves.
    """

    x0: Tensor
    noise: Tensor
    t: Tensor
    text: Tensor
    text_mask: Tensor | None
    target: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x0)

    def loss(self, model: nn.Module, objective: Objective) -> Tensor:
        """The mean loss `[]`, float32, of a model on these rows.

        Args:
            model: On the batch's device; called with noised rows, times, text and its mask.
            objective: What it learns to predict; flow matching where the batch has a target.
        """
        output = model(objective.add_noise(self.x0, self.noise, self.t), self.t, self.text, self.text_mask)
        if self.target is not None:
            return (output.float() - self.target).square().mean()
        return objective.loss(output, self.x0, self.noise)

    def take(self, index: Tensor | slice) -> Batch:
        """Some of its rows.

        Args:
            index: Row numbers `[R]`, or a slice: then nothing is copied.
        """
        return self._each(lambda field: field[index])

    def pieces(self, most: int) -> list[Batch]:
        """Cut into parts of at most `most` rows."""
        return [self.take(slice(at, at + most)) for at in range(0, len(self), most)]

    def pinned(self, device: torch.device) -> Batch:
        """The same in memory from which a GPU fetches by itself; unchanged for other devices."""
        return self._each(Tensor.pin_memory) if device.type == "cuda" else self

    def to(self, device: torch.device) -> Batch:
        """The same on a device; to a GPU, from pinned memory, without waiting for what it still computes."""
        return self._each(lambda field: field.to(device, non_blocking=device.type == "cuda"))

    def without_padding(self) -> Batch:
        """The same without the text tokens that count in no row, rounded up to a multiple of 8.

        What is left out has no weight in any attention. The multiple keeps the number of different shapes small.
        """
        if self.text_mask is None or self.text_mask.all():
            return replace(self, text_mask=None)
        used = int(self.text_mask.any(0).nonzero().max()) + 1
        length = min(-(-used // _TOKENS_MULTIPLE) * _TOKENS_MULTIPLE, self.text.shape[1])
        mask = self.text_mask[:, :length]
        return replace(
            self, text=self.text[:, :length].contiguous(), text_mask=None if mask.all() else mask.contiguous()
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        mask, target = (None if part is None else change(part) for part in (self.text_mask, self.target))
        return Batch(change(self.x0), change(self.noise), change(self.t), change(self.text), mask, target)


class Captions:
    """Text states of a cluster's captions, encoded once where memory allows.

    A caption's states may differ in the last bit with what is encoded beside it. So they are always encoded in the
    same company: a shard's captions in row order, or else exactly the batch's. Where the shards hold the ids that the
    encoder's own tokenizer makes of them, no caption is tokenized again.

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
            states, mask = self._encoded(self._data.captions(rows), self._tokens(rows))
        states[dropped], mask[dropped] = self._null
        return states, mask

    def _shard(self, index: int) -> tuple[Tensor, Tensor]:
        if index not in self._shards:
            shard = self._data.shard(index)
            captions, tokens = shard.captions, shard.tokens_of(self._encoder.tokenizer_sha256)
            chunks = [slice(i, i + _CHUNK_ROWS) for i in range(0, len(captions), _CHUNK_ROWS)]
            made = [self._encoded(captions[chunk], tokens[chunk] if tokens else None) for chunk in chunks]
            states, masks = zip(*made, strict=True)
            self._shards[index] = torch.cat(states), torch.cat(masks)
        return self._shards[index]

    def _tokens(self, rows: list[tuple[int, int]]) -> list[list[int]] | None:
        """Token ids of some rows, if the encoder's own tokenizer made those of all their shards."""
        digest = self._encoder.tokenizer_sha256
        shards = {index: self._data.shard(index).tokens_of(digest) for index in {shard for shard, _ in rows}}
        known = [tokens[row] for index, row in rows if (tokens := shards[index]) is not None]
        return known if len(known) == len(rows) else None

    def _encoded(self, captions: list[str], tokens: list[list[int]] | None) -> tuple[Tensor, Tensor]:
        return self._encoder.encode(captions) if tokens is None else self._encoder.encode_ids(tokens)


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

    def rows(self, step: int) -> list[tuple[int, int]]:
        """The rows of one step, as pairs of shard number and row number."""
        return self._order.batch(step, self._task.training.batch_size)

    def batch(self, step: int) -> Batch:
        """The input of one step, on the CPU, without text tokens that are padding in every row.

        Args:
            step: Number of the step, from 0.

        Raises:
            ShardError: A shard cannot be read, or has fewer rows than the task says.
        """
        config = self._task.training
        rows = self.rows(step)
        x0 = self._codec.to_model(self._data.latents(rows))
        # One generator a step, drawn from in this order. Whole batches are drawn, so that micro-batches see the same.
        generator = generator_for(self._task.seed, "step", self._task.task_id, step)
        t = draw_times(len(rows), config.time_sampling, generator)
        dropped = torch.rand(len(rows), generator=generator) < config.caption_dropout
        noise = torch.randn(x0.shape, generator=generator)
        return Batch(x0, noise, t, *self._captions.states(rows, dropped)).without_padding()


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
