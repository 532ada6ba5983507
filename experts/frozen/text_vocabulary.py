"""A text encoder of fixed random vectors, one a word, for data with short captions of few words."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from paris.experts.errors import TextError
from paris.experts.files import write_whole
from paris.experts.frozen.text import PromptWarning, TextConfig
from paris.experts.seeding import generator_for

_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})


class VocabularyEncoder:
    """Looks words up in the order of the prompt; unknown words are left out with a warning.

    The vectors have norm `sqrt(E)`: elements of unit variance at any width. The null prompt is one token of zeros.

    Args:
        config: Width and longest prompt.
        words: The known words, sorted.
    """

    def __init__(self, config: TextConfig, words: Sequence[str]) -> None:
        self.config = config
        self.tokenizer_sha256 = ""
        self.words = list(words)
        self._index = {word: number for number, word in enumerate(words, start=1)}
        vectors = [_word_vector(word, config.dim) for word in words]
        self._vectors = torch.stack([torch.zeros(config.dim, dtype=torch.float32), *vectors])

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See `TextEncoder.encode`; a prompt without known words becomes the null prompt."""
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
        """Always raises TextError: there is no tokenizer."""
        raise TextError("A vocabulary makes no token ids.", "Encode the texts.")

    def to(self, device: torch.device | str) -> None:
        """No-op: looking words up needs no device."""

    def save(self, folder: Path) -> TextConfig:
        """Write the word list as `folder/vocab.json`."""
        sha256 = write_vocabulary(folder / "vocab.json", self.words)
        return self.config.model_copy(update={"path": "vocab.json", "sha256": sha256})


def split_words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, case folded, without articles."""
    return [word for word in _WORD.findall(text.casefold()) if word not in _ARTICLES]


def build_vocabulary(captions: Iterable[str]) -> list[str]:
    """All words of some captions, sorted: what `write_vocabulary` takes."""
    return sorted({word for caption in captions for word in split_words(caption)})


def write_vocabulary(path: Path, words: Sequence[str]) -> str:
    """Write a word list, sorted and without duplicates; its SHA-256, for `TextConfig.sha256`."""
    data = json.dumps(sorted(set(words)), ensure_ascii=False, separators=(",", ":")).encode()
    write_whole(path, data)
    return hashlib.sha256(data).hexdigest()


def read_vocabulary(path: Path, sha256: str = "") -> list[str]:
    """Read a word list.

    Raises:
        TextError: The file is missing, is not a list of different words, or has another digest than `sha256`, unless
            that is empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TextError(f"The vocabulary {path} cannot be read: {error.strerror}.") from error
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise TextError(
            f"The vocabulary {path} has SHA-256 {found[:12]}..., the run names {sha256[:12]}....",
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
    vector = torch.randn(dim, generator=generator_for(0, "word", word, dim), dtype=torch.float32)
    return vector * (dim**0.5 / vector.norm())


def _warn(unknown: set[str], too_long: int, length: int) -> None:
    if unknown:
        shown = ", ".join(sorted(unknown)[:8]) + (", ..." if len(unknown) > 8 else "")
        warnings.warn(f"{len(unknown)} words are not in the vocabulary and left out: {shown}.", PromptWarning, 3)
    if too_long:
        warnings.warn(f"{too_long} prompts have more than {length} known words and are cut.", PromptWarning, 3)
