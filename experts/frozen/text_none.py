"""The text encoder of models that read no text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from paris.experts.errors import TextError
from paris.experts.frozen.text import TextConfig


class NoText:
    """States without tokens and without width for any prompts, so that code that reads states needs no branch."""

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        self.tokenizer_sha256 = ""

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States `[B, 0, 0]` and mask `[B, 0]`."""
        return torch.zeros(len(prompts), 0, 0, dtype=torch.float32), torch.zeros(len(prompts), 0, dtype=torch.bool)

    def encode_ids(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Always raises TextError: there is no tokenizer."""
        raise TextError("A model without text has no token ids.", "Leave the texts out.")

    def to(self, device: torch.device | str) -> None:
        """No-op: there is nothing to compute."""

    def save(self, folder: Path) -> TextConfig:
        """Write no file; the configuration is the same in every folder."""
        return self.config
