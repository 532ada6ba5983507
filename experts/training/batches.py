"""The batch of step s: rows, text, times, noise. A function of (run seed, task, lane, s) alone.

Shapes: B rows, L text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paris.experts.data.cluster import ClusterData
from paris.experts.data.order import RowOrder
from paris.experts.data.shard_order import drawn_as
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextConfig, TextEncoder
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.seeding import generator_for
from paris.experts.training.config import TrainingTask

_CACHE_BYTES = 256 << 20
_CHUNK_ROWS = 64
_TOKENS_MULTIPLE = 8


@dataclass(frozen=True)
class Batch:
    """One step's input, or a piece of it."""

    x0: Tensor
    """Data `[B, C, H, W]`."""
    noise: Tensor
    """Standard normal `[B, C, H, W]`."""
    t: Tensor
    """Flow times `[B]` in [0, 1]."""
    text: Tensor | None
    """Text states `[B, L, E]`; None for a model that sees none."""
    text_mask: Tensor | None
    """True where a token counts `[B, L]`; None where all do."""
    target: Tensor | None = None
    """What to learn: a teacher's velocity `[B, C, H, W]`, or clusters `[B]`; None: the objective's own target."""

    def __len__(self) -> int:
        return len(self.x0)

    def __getitem__(self, rows: Tensor | slice) -> Batch:
        """Some of its rows; a slice copies nothing."""
        return self._map(lambda tensor: tensor[rows])

    def split(self, rows: int) -> list[Batch]:
        """Pieces of at most so many rows."""
        return [self[at : at + rows] for at in range(0, len(self), rows)]

    def pin_memory(self, device: torch.device) -> Batch:
        """A copy in memory from which a GPU can copy by itself; unchanged for other devices."""
        return self._map(Tensor.pin_memory) if device.type == "cuda" else self

    def to(self, device: torch.device) -> Batch:
        """A copy on a device; to a GPU, from pinned memory, without waiting for its present work."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"))

    def without_padding(self) -> Batch:
        """Without the text tokens that are padding in every row, rounded up to a multiple of 8.

        Padding has no weight in any attention. The multiple keeps the number of different shapes small.
        """
        if self.text is None or self.text_mask is None or self.text_mask.all():
            return replace(self, text_mask=None)
        used = int(self.text_mask.any(0).nonzero().max()) + 1
        length = min(-(-used // _TOKENS_MULTIPLE) * _TOKENS_MULTIPLE, self.text.shape[1])
        mask = self.text_mask[:, :length]
        return replace(
            self, text=self.text[:, :length].contiguous(), text_mask=None if mask.all() else mask.contiguous()
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        text, mask, target = (
            None if tensor is None else change(tensor) for tensor in (self.text, self.text_mask, self.target)
        )
        return Batch(change(self.x0), change(self.noise), change(self.t), text, mask, target)


def largest_batch(model: ModelConfig | RouterConfig, text: TextConfig | None, rows: int) -> Batch:
    """The most that a batch can hold, on the CPU; without text for a model that sees none (None)."""
    x0 = torch.zeros(rows, model.in_channels, model.image_size, model.image_size)
    states = mask = None
    if text is not None and text.reads_text:
        states = torch.zeros(rows, text.max_tokens, text.dim)
        mask = torch.ones(rows, text.max_tokens, dtype=torch.bool)
        mask[:, -1] = text.max_tokens == 1  # a mask takes memory too
    return Batch(x0, torch.zeros_like(x0), torch.full((rows,), 0.5, dtype=torch.float32), states, mask)


class Captions:
    """Text states of a cluster's captions, encoded once where memory allows.

    A caption's states may differ in the last bit with the captions encoded beside it. So they are always encoded in the
    same batch, a chunk of the shard or else the training batch, and the result is bit-identical. Captions whose token
    ids, made by the encoder's own tokenizer, are in the shards are not tokenized again.

    Args:
        encoder: The frozen encoder.
        data: The cluster.
        num_rows: Of the cluster.
    """

    def __init__(self, encoder: TextEncoder, data: ClusterData, num_rows: int) -> None:
        config = encoder.config
        self._encoder, self._data = encoder, data
        self._is_cached = num_rows * config.max_tokens * config.dim * 4 <= _CACHE_BYTES
        self._shards: dict[int, tuple[Tensor, Tensor]] = {}
        self._more_captions: dict[int, bool] = {}
        states, mask = encoder.encode([""])
        self._null = states[0], mask[0]

    def states(self, rows: list[tuple[int, int]], dropped: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Text states `[B, L, E]` and mask `[B, L]` of rows (shard, row); the null prompt's where `dropped` `[B]`.

        Args:
            rows: Pairs of shard and row number.
            dropped: Booleans `[B]`.
            draws: Numbers in [0, 1), `[B]`: which caption is taken of a row with several.
        """
        if any(self._has_more_captions(shard) for shard, _ in rows):
            states, mask = self._drawn(rows, draws.tolist())
        elif self._is_cached:
            pairs = [(states[row], mask[row]) for (states, mask), row in ((self._shard(s), row) for s, row in rows)]
            states, mask = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        else:
            states, mask = self._encoded(self._data.captions(rows), self._tokens(rows))
        states[dropped], mask[dropped] = self._null
        return states, mask

    def _has_more_captions(self, index: int) -> bool:
        """Whether rows of a shard have several captions; a shard that was closed is not opened again for it."""
        if index not in self._more_captions:
            self._more_captions[index] = self._data.shard(index).has_more_captions
        return self._more_captions[index]

    def _drawn(self, rows: list[tuple[int, int]], draws: list[float]) -> tuple[Tensor, Tensor]:
        """States of one caption a row."""
        digest, captions, tokens = self._encoder.tokenizer_sha256, [], []
        for (index, row), draw in zip(rows, draws, strict=True):
            shard = self._data.shard(index)
            texts, ids = shard.all_captions[row], shard.all_tokens_of(digest)
            chosen = int(draw * len(texts))
            captions.append(texts[chosen])
            if ids is not None:
                tokens.append(ids[row][chosen])
        return self._encoded(captions, tokens if len(tokens) == len(rows) else None)

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
        """Token ids of rows; None unless the encoder's own tokenizer made those of all their shards."""
        digest = self._encoder.tokenizer_sha256
        shards = {index: self._data.shard(index).tokens_of(digest) for index in {shard for shard, _ in rows}}
        known = [tokens[row] for index, row in rows if (tokens := shards[index]) is not None]
        return known if len(known) == len(rows) else None

    def _encoded(self, captions: list[str], tokens: list[list[int]] | None) -> tuple[Tensor, Tensor]:
        return self._encoder.encode(captions) if tokens is None else self._encoder.encode_ids(tokens)


class Batches:
    """The batches of a lane of an expert's task, from its cluster's data."""

    def __init__(
        self, task: TrainingTask, data: ClusterData, codec: Codec, encoder: TextEncoder, lane: int = 0
    ) -> None:
        self._task, self._data, self._codec = task, data, codec
        self.encoder = encoder
        """Of the captions."""
        self._name = drawn_as(task.task_id, lane)
        self._order = RowOrder(task.seed, self._name, task.shard_rows, task.training.window_shards)
        self._captions = Captions(encoder, data, self._order.num_rows) if encoder.config.reads_text else None

    def rows(self, step: int) -> list[tuple[int, int]]:
        """The rows of a step: pairs of shard and row number."""
        return self._order.batch(step, self._task.training.batch_size)

    def captions(self, step: int) -> list[str]:
        """The captions of a step's rows; of a row with several, the first.

        Raises:
            ShardError: As `batch`.
        """
        return self._data.captions(self.rows(step))

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0, on the CPU.

        Raises:
            ShardError: A shard cannot be read, or has fewer rows than the task says.
        """
        config = self._task.training
        rows = self.rows(step)
        x0 = self._codec.to_model(self._data.latents(rows))
        # One generator a step, drawn from in this order. Whole batches are drawn, so that micro-batches see the same.
        generator = generator_for(self._task.seed, "step", self._name, step)
        t = draw_times(len(rows), config.time_sampling, generator)
        dropped = torch.rand(len(rows), generator=generator, dtype=torch.float32) < config.caption_dropout
        noise = torch.randn(x0.shape, generator=generator, dtype=torch.float32)
        if self._captions is None:
            return Batch(x0, noise, t, text=None, text_mask=None)
        draws = torch.rand(len(rows), generator=generator, dtype=torch.float32)
        return Batch(x0, noise, t, *self._captions.states(rows, dropped, draws)).without_padding()


def draw_times(count: int, sampling: str, generator: torch.Generator) -> Tensor:
    """Flow times `[count]` in [0, 1]: "uniform", or "logit-normal", the sigmoid of a standard normal.

    Source: uniform, Lipman et al., arXiv 2210.02747; logit-normal, Esser et al., arXiv 2403.03206, section 3.1.
    """
    if sampling == "logit-normal":
        return torch.sigmoid(torch.randn(count, generator=generator, dtype=torch.float32))
    return torch.rand(count, generator=generator, dtype=torch.float32)
