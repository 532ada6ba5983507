"""The interface of frozen text encoders, and their configuration.

    none            no files                       for models that read no text
    vocabulary      <folder>/vocab.json            a sorted JSON list of words; the vectors follow from the words
    transformers    <folder>/text_encoder/ ...     config.json, model.safetensors, as `transformers` writes them
                    <folder>/tokenizer/ ...        the tokenizer's files (may be the same folder)

Shapes: B prompts, L tokens (always `max_tokens`), E text width; L and E are 0 without text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

import torch
from pydantic import Field, StringConstraints, model_validator
from torch import Tensor

from paris.experts.settings import RelativePath, Settings


class PromptWarning(UserWarning):
    """A prompt was truncated, or has words that the encoder does not know."""


class TextConfig(Settings):
    """Which frozen text encoder a run uses; "none" for experts that are trained without captions."""

    kind: Literal["vocabulary", "transformers", "none"]
    dim: Annotated[int, Field(ge=0, le=65536)] = 0
    """Width of a text state; the model's `text_embed_dim`."""
    max_tokens: Annotated[int, Field(ge=0, le=4096)] = 0
    """Longest prompt, tokens; longer ones are truncated with a warning."""
    path: RelativePath = "vocab.json"
    """The word list, or the encoder's folder, inside the folder that the encoder is loaded from."""
    sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Digest of the word list; of `model.safetensors` for a transformer. Empty: not checked."""
    tokenizer_path: RelativePath | Literal[""] = ""
    """The tokenizer's folder, where it is not the encoder's."""
    model_class: Literal["", "AutoModel", "CLIPTextModel", "T5EncoderModel"] = ""
    """Class of `transformers`; needed for that kind alone."""
    attend_padding: bool = False
    """Let the model attend to padding too, as the published Paris weights do."""

    @property
    def reads_text(self) -> bool:
        """Whether there is a text encoder."""
        return self.kind != "none"

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        if self.reads_text and not (self.dim and self.max_tokens):
            raise ValueError(f"kind {self.kind!r} needs dim and max_tokens, both at least 1")
        if not self.reads_text and (self.dim or self.max_tokens):
            raise ValueError("kind 'none' has neither dim nor max_tokens")
        return self


class TextEncoder(Protocol):
    """From prompts to the states that the experts' cross-attention reads."""

    config: TextConfig
    tokenizer_sha256: str
    """Digest of the tokenizer that makes ids of prompts; empty without one."""

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts; `""` is the null prompt of classifier-free guidance.

        Returns:
            On the CPU: states float32 `[B, L, E]`, and a mask bool `[B, L]`, False for padding, True at least once a
            row where L is not 0.
        """

    def encode_ids(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Encode ids of the encoder's tokenizer, without padding: the same bits as `encode` of their texts.

        Raises:
            TextError: The encoder has no tokenizer.
        """

    def to(self, device: torch.device | str) -> None:
        """Compute on another device from now on."""

    def save(self, folder: Path) -> TextConfig:
        """Write the encoder's files into `folder`; the configuration that loads them from there."""
