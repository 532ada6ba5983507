"""Captions as the ids that the run's tokenizer makes of them, where the run's text encoder has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import PrepareConfigError

Tokenize = Callable[[Sequence[str]], list[tuple[int, ...] | None]]
"""From captions to ids without padding; None for each where there is no tokenizer."""
_FETCH = "Fetch the run's text encoder first."


def load_tokenizer(config: PrepareConfig, folder: Path) -> Tokenize:
    """The tokenizer that the settings name.

    Args:
        config: Its folder and window.
        folder: Where that folder is.

    Raises:
        PrepareConfigError: There is no tokenizer in it.
    """
    if not config.tokenizer:
        return lambda captions: [None] * len(captions)
    from transformers import AutoTokenizer

    path = folder / config.tokenizer
    if not path.is_dir():
        raise PrepareConfigError(f"There is no tokenizer folder {path}.", _FETCH)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise PrepareConfigError(f"The tokenizer in {path} cannot be loaded: {error}", _FETCH) from error

    def tokenize(captions: Sequence[str]) -> list[tuple[int, ...] | None]:
        return [
            tuple(ids) for ids in tokenizer(list(captions), truncation=True, max_length=config.max_tokens)["input_ids"]
        ]

    return tokenize
