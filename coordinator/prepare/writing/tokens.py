"""Token ids of captions, if the run's text encoder has a tokenizer.

Training uses the stored ids, so that the tokens are decided once, by the organiser, and are covered by the signed
manifest; another version of the tokenizer library changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import PrepareConfigError

_FETCH = "Fetch the run's text encoder first."


class Tokenizer:
    """Turns captions into token ids.

    Args:
        config: The tokenizer's folder and window; without a folder there are no ids.
        folder: Parent of the tokenizer's folder.

    Raises:
        PrepareConfigError: The tokenizer is missing or cannot be loaded.
    """

    def __init__(self, config: PrepareConfig, folder: Path) -> None:
        self.sha256 = ""
        self._max_tokens = config.max_tokens
        self._tokenizer: Any = None
        if not config.tokenizer:
            return
        from transformers import AutoTokenizer

        from paris.experts.frozen.text_transformers import tokenizer_digest

        path = folder / config.tokenizer
        if not path.is_dir():
            raise PrepareConfigError(f"There is no tokenizer folder {path}.", _FETCH)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise PrepareConfigError(f"The tokenizer in {path} cannot be loaded: {error}", _FETCH) from error
        self.sha256 = tokenizer_digest(path, config.max_tokens)

    def known(self, captions: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Ids of each caption; nothing without a tokenizer, or without captions."""
        return tuple(ids for ids in self.ids(captions) if ids is not None) if captions else ()

    def ids(self, captions: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Ids of each caption, without padding, cut to the window; None without a tokenizer."""
        if self._tokenizer is None:
            return [None] * len(captions)
        made = self._tokenizer(list(captions), truncation=True, max_length=self._max_tokens)["input_ids"]
        return [tuple(ids) for ids in made]
