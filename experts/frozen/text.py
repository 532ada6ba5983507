"""Frozen text encoders: a vocabulary of fixed vectors, or a pretrained transformer.

    vocabulary      <folder>/vocab.json            a sorted JSON list of words; the vectors follow from the words
    transformers    <folder>/text_encoder/ ...     config.json, model.safetensors, as `transformers` writes them
                    <folder>/tokenizer/ ...        the tokenizer's files (may be the same folder)

Shapes: B prompts, L tokens (always `max_tokens`), E text width.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field, StringConstraints
from torch import Tensor

from paris.experts.errors import TextError
from paris.experts.files import write_whole
from paris.experts.seeding import generator_for
from paris.experts.settings import Settings

_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
InnerPath = Annotated[str, StringConstraints(max_length=200, pattern=rf"^{_PART}(/{_PART})*$")]


class PromptWarning(UserWarning):
    """A prompt was shortened, or some of its words mean nothing to the encoder."""


class TextConfig(Settings):
    """Which frozen text encoder a run uses."""

    kind: Literal["vocabulary", "transformers"]
    dim: Annotated[int, Field(ge=1, le=65536)]
    """Width of a text state; the model's `text_embed_dim`."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)]
    """Longest prompt, tokens; longer ones are cut with a warning."""
    path: InnerPath = "vocab.json"
    """The word list, or the encoder's folder, inside the folder that the encoder is loaded from."""
    sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Digest of the word list; of `model.safetensors` for a transformer. Empty: not checked."""
    tokenizer_path: InnerPath | Literal[""] = ""
    """The tokenizer's folder, where it is not the encoder's."""
    model_class: Literal["", "AutoModel", "CLIPTextModel", "T5EncoderModel"] = ""
    """How `transformers` calls the encoder; needed for that kind alone."""
    attend_padding: bool = False
    """Let the model look at padding too, as the published Paris weights do."""


class TextEncoder(Protocol):
    """From prompts to the states that the experts' cross-attention reads."""

    config: TextConfig
    tokenizer_sha256: str
    """Digest of the tokenizer that makes ids of prompts; empty where there is none."""

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts.

        Args:
            prompts: Texts; `""` is the null prompt of classifier-free guidance.

        Returns:
            States float32 `[B, L, E]`, and a mask bool `[B, L]`, True where a token counts, at least once a row.
        """

    def encode_ids(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Encode prompts whose ids the encoder's tokenizer has made already: the same as `encode` of their texts.

        Args:
            ids: Of each prompt, without padding, at most L.
        """

    def to(self, device: torch.device | str) -> None:
        """Compute on another device from now on; the answers come back to the CPU."""

    def save(self, folder: Path) -> TextConfig:
        """Write the encoder's files into `folder`; what names them there."""


class VocabularyEncoder:
    """A fixed random vector for each known word; word order is not seen.

    For data whose captions are short and of few words: nothing is imported, nothing is downloaded. The vectors have
    norm `sqrt(E)`, so that their elements have unit variance whatever the width.

    Args:
        config: Width and window.
        words: The known words, sorted.
    """

    def __init__(self, config: TextConfig, words: Sequence[str]) -> None:
        self.config = config
        self.tokenizer_sha256 = ""
        self.words = list(words)
        self._index = {word: number for number, word in enumerate(words, start=1)}
        vectors = [_word_vector(word, config.dim) for word in words]
        self._vectors = torch.stack([torch.zeros(config.dim), *vectors])

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Look the words up, in the order of the prompt; a prompt without known words becomes the null prompt.

        Args:
            prompts: Texts; `""` is the null prompt: one token, all zeros.

        Returns:
            States float32 `[B, L, E]` and mask bool `[B, L]`.
        """
        length = self.config.max_tokens
        tokens = torch.zeros(len(prompts), length, dtype=torch.long)
        mask = torch.zeros(len(prompts), length, dtype=torch.bool)
        mask[:, 0] = True
        unknown: set[str] = set()
        too_long = 0
        for row, prompt in enumerate(prompts):
            words = split_words(prompt)
            known = [self._index[word] for word in words if word in self._index]
            unknown.update(word for word in words if word not in self._index)
            too_long += len(known) > length
            known = known[:length]
            tokens[row, : len(known)] = torch.tensor(known, dtype=torch.long)
            mask[row, : len(known)] = True
        _warn(unknown, too_long, length)
        return self._vectors[tokens], mask

    def encode_ids(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """There is no tokenizer.

        Raises:
            TextError: Always.
        """
        raise TextError("A vocabulary makes no token ids.", "Encode the texts.")

    def to(self, device: torch.device | str) -> None:
        """Nothing to move: looking words up is no work."""

    def save(self, folder: Path) -> TextConfig:
        """Write the word list as `folder/vocab.json`."""
        sha256 = write_vocabulary(folder / "vocab.json", self.words)
        return self.config.model_copy(update={"path": "vocab.json", "sha256": sha256})


def load_text_encoder(config: TextConfig, folder: Path, device: torch.device | str = "cpu") -> TextEncoder:
    """Load the encoder that a configuration names.

    Args:
        config: Which one.
        folder: Where its files are; `config.path` is inside.
        device: Where a transformer computes; its answers come back to the CPU.

    Raises:
        TextError: Files are missing, unreadable, or not those that the configuration names.
    """
    if config.kind == "transformers":
        from paris.experts.frozen.text_transformers import TransformersEncoder

        return TransformersEncoder(config, folder, device)
    return VocabularyEncoder(config, read_vocabulary(folder / config.path, config.sha256))


def split_words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, case folded; articles say nothing of a picture."""
    return [word for word in _WORD.findall(text.casefold()) if word not in _ARTICLES]


def build_vocabulary(captions: Iterable[str]) -> list[str]:
    """All words of some captions, sorted: what `write_vocabulary` takes."""
    return sorted({word for caption in captions for word in split_words(caption)})


def write_vocabulary(path: Path, words: Sequence[str]) -> str:
    """Write a word list, whole or not at all.

    Args:
        path: Where to.
        words: Known words; written sorted, each once.

    Returns:
        SHA-256 of the file, for `TextConfig.sha256`.
    """
    data = json.dumps(sorted(set(words)), ensure_ascii=False, separators=(",", ":")).encode()
    write_whole(path, data)
    return hashlib.sha256(data).hexdigest()


def read_vocabulary(path: Path, sha256: str = "") -> list[str]:
    """Read a word list.

    Args:
        path: The file.
        sha256: What its digest must be; empty to take any.

    Raises:
        TextError: The file is missing, has another digest, or is not a list of different words.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TextError(f"The vocabulary {path} cannot be read: {error.strerror}.") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise TextError(
            f"The vocabulary {path} has SHA-256 {found[:12]}..., the run says {sha256[:12]}....",
            "Delete the file and fetch it again.",
        )
    try:
        words = json.loads(data)
    except ValueError as error:
        raise TextError(f"The vocabulary {path} is not JSON: {error}.") from error
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise TextError(f"The vocabulary {path} is not a list of words.")
    if len(set(words)) != len(words):
        raise TextError(f"The vocabulary {path} has a word twice.")
    return words


def _word_vector(word: str, dim: int) -> Tensor:
    vector = torch.randn(dim, generator=generator_for(0, "word", word, dim))
    return vector * (dim**0.5 / vector.norm())


def _warn(unknown: set[str], too_long: int, length: int) -> None:
    if unknown:
        shown = ", ".join(sorted(unknown)[:8]) + (", ..." if len(unknown) > 8 else "")
        warnings.warn(f"{len(unknown)} words are not in the vocabulary and left out: {shown}.", PromptWarning, 3)
    if too_long:
        warnings.warn(f"{too_long} prompts have more than {length} known words and are cut.", PromptWarning, 3)
