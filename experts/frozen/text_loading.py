"""The text encoder of a configuration."""

from __future__ import annotations

from pathlib import Path

import torch

from paris.experts.frozen.text import TextConfig, TextEncoder
from paris.experts.frozen.text_none import NoText
from paris.experts.frozen.text_vocabulary import VocabularyEncoder, read_vocabulary


def load_text_encoder(config: TextConfig, folder: Path, device: torch.device | str = "cpu") -> TextEncoder:
    """The text encoder of a configuration, whose paths are relative to `folder`.

    Raises:
        TextError: Files are missing, unreadable, or have another digest than the configuration names.
    """
    if config.kind == "none":
        return NoText(config)
    if config.kind == "transformers":
        from paris.experts.frozen.text_transformers import TransformersEncoder

        return TransformersEncoder(config, folder, device)
    return VocabularyEncoder(config, read_vocabulary(folder / config.path, config.sha256))
