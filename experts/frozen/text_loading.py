"""The text encoder of a configuration."""

from __future__ import annotations

from pathlib import Path

import torch

from paris.experts.frozen.text import TextConfig, TextEncoder
from paris.experts.frozen.text_vocabulary import VocabularyEncoder, read_vocabulary


def load_text_encoder(config: TextConfig, folder: Path, device: torch.device | str = "cpu") -> TextEncoder:
    """Load a text encoder.

    Args:
        config: Which one.
        folder: Where its files are; `config.path` is relative to it.
        device: Where a transformer computes.

    Raises:
        TextError: Files are missing, unreadable, or not those that the configuration names.
    """
    if config.kind == "transformers":
        from paris.experts.frozen.text_transformers import TransformersEncoder

        return TransformersEncoder(config, folder, device)
    return VocabularyEncoder(config, read_vocabulary(folder / config.path, config.sha256))
