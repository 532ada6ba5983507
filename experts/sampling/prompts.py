"""Prompts as the experts see them; their keys and values are computed once a sampling run, within a bound of memory.

Shapes: B rows of text, M rows of negative text (none, one for all, or B), L tokens, E text width, K experts, R rows of
one expert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.models.model import TextContext
from paris.experts.models.prompt_router import PromptPosterior
from paris.experts.objectives.objectives import VelocityModel

Text = tuple[Tensor, Tensor | None]
"""States `[B, L, E]`, and mask bool `[B, L]`, True where a token counts; None where all do."""

Side: TypeAlias = Literal["text", "negative", "both"]
"""Whether an expert computes with the prompt, the negative prompt, or both in one batch, the negative rows last."""

MAX_CACHED_BYTES = 2 << 30
"""Keys and values that are kept; beyond, the oldest expert's are computed again: about 4 % of what its pass costs."""


@dataclass(frozen=True)
class Prompts:
    """Encoded prompts, one row a picture, on the device of the experts."""

    states: Tensor
    """`[B, L, E]`; L and E are 0 for a model without text."""
    mask: Tensor | None = None
    """bool `[B, L]`, True where a token counts; None where all do."""
    negative: Text | None = None
    """The negative prompts (or the null prompt) that guidance leads away from, one row or B; None without guidance."""
    posterior: PromptPosterior | None = None
    """What the prompts alone say of the experts; None without a prompt router."""

    def __len__(self) -> int:
        """B."""
        return len(self.states)

    @property
    def text(self) -> Text:
        """States and mask."""
        return self.states, self.mask


class TextCache:
    """Keys and values of prompts and negative prompts, by expert.

    Raises:
        SamplingError: There are neither one nor B negative prompts.
    """

    def __init__(self, text: Text, negative: Text | None) -> None:
        self._num_rows = len(text[0])
        self._num_negative = 0 if negative is None else len(negative[0])
        if negative is not None and self._num_negative not in (1, self._num_rows):
            raise SamplingError(
                f"There are {self._num_negative} negative prompts for {self._num_rows} rows of text.",
                "Give one for all, or one a row.",
            )
        self._states, self._mask = _trimmed(text if negative is None else _joined(text, negative))
        self._kept: dict[int, TextContext] = {}

    def context(self, number: int, model: VelocityModel, rows: Tensor | slice, side: Side = "text") -> TextContext:
        """Keys and values `[R]` of an expert's rows, or `[2 R]` of both sides; `rows` are numbers `[R]`, or a slice."""
        whole = self._whole(number, model)
        is_all = isinstance(rows, slice) and rows == slice(0, self._num_rows)
        if side == "text":
            return whole if is_all and not self._num_negative else whole.rows(rows)
        if is_all and self._num_negative == self._num_rows and side == "both":
            return whole
        if isinstance(rows, slice):
            rows = torch.arange(rows.start, rows.stop, device=self._states.device)
        negative = self._num_rows + (rows if self._num_negative > 1 else torch.zeros_like(rows))
        return whole.rows(torch.cat([rows, negative]) if side == "both" else negative)

    def keep_only(self, numbers: set[int]) -> None:
        """Drop the keys and values of other experts: those that have left the device."""
        self._kept = {number: context for number, context in self._kept.items() if number in numbers}

    def _whole(self, number: int, model: VelocityModel) -> TextContext:
        if number not in self._kept:
            self._kept[number] = model.project_text(self._states, self._mask)
            sizes = {number: _num_bytes(context) for number, context in self._kept.items()}
            while len(self._kept) > 1 and sum(sizes.values()) > MAX_CACHED_BYTES:
                oldest = next(iter(self._kept))
                del self._kept[oldest], sizes[oldest]
        return self._kept[number]


def _num_bytes(context: TextContext) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*context.keys, *context.values))


def _trimmed(text: Text) -> Text:
    """Without the tokens that count in no row, and without a mask that hides nothing: exact, and less work."""
    states, mask = text
    if mask is None:
        return states, None
    counts = mask.any(dim=0).nonzero()
    length = int(counts.max()) + 1 if len(counts) else mask.shape[1]
    states, mask = states[:, :length], mask[:, :length]
    return states, None if mask.all() else mask


def _joined(text: Text, negative: Text) -> Text:
    """Text above negative text: `[B + M, L, E]`."""
    (states, mask), (away, away_mask) = text, negative
    away = away.to(states)
    if mask is None and away_mask is None:
        return torch.cat([states, away]), None
    masks = [
        torch.ones(rows.shape[:2], dtype=torch.bool, device=states.device) if known is None else known.to(states.device)
        for rows, known in ((states, mask), (away, away_mask))
    ]
    return torch.cat([states, away]), torch.cat(masks)
