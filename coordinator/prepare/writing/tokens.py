"""Captions as the ids that the run's tokenizer makes of them, where the run's text encoder has one.

Training takes them as they are, so that what a row says to the model was decided once, by the organiser, and stands in
the signed manifest; another version of the library that tokenizes changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import PrepareConfigError

_FETCH = "Fetch the run's text encoder first."


class Tokenizer:
    """From captions to ids.

    Args:
        config: The tokenizer's folder and window; without a folder there are no ids.
        folder: Where that folder is.

    Raises:
        PrepareConfigError: There is no tokenizer in it.
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

    def ids(self, captions: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Ids without padding, cut to the window; None for each caption where there is no tokenizer."""
        if self._tokenizer is None:
            return [None] * len(captions)
        made = self._tokenizer(list(captions), truncation=True, max_length=self._max_tokens)["input_ids"]
        return [tuple(ids) for ids in made]
