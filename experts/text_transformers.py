"""The text encoder that stands on `transformers`: CLIP's text part, T5's encoder, or any sentence encoder.

Importing `transformers` takes seconds and some 160 MB: it is imported when an encoder is made, here alone.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from paris.experts.errors import TextError
from paris.experts.text import PromptWarning, TextConfig


class TransformersEncoder:
    """Last hidden states of a frozen pretrained encoder, from local files, safetensors only.

    Args:
        config: Paths, width and window.
        folder: Where the paths start.
        device: Where it computes.

    Raises:
        TextError: Files are missing or unreadable, or the encoder has another width than the configured one.
    """

    def __init__(self, config: TextConfig, folder: Path, device: torch.device | str = "cpu") -> None:
        import transformers

        if not config.model_class:
            raise TextError(
                "A text encoder of kind 'transformers' needs model_class.", "Set it, e.g. to CLIPTextModel."
            )
        self.config = config
        self._device = torch.device(device)
        model_path = folder / config.path
        tokenizer_path = folder / (config.tokenizer_path or config.path)
        _check_folder(model_path, config)
        try:
            model_class = getattr(transformers, config.model_class)
            model = model_class.from_pretrained(model_path, local_files_only=True, use_safetensors=True)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_path, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise TextError(f"The text encoder in {model_path} cannot be loaded: {error}") from error
        if model.config.hidden_size != config.dim:
            raise TextError(f"The text encoder in {model_path} has width {model.config.hidden_size}, not {config.dim}.")
        self._model = model.to(self._device).eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts; the null prompt `""` is what the encoder makes of an empty text.

        Args:
            prompts: Texts.

        Returns:
            States float32 `[B, L, E]` and mask bool `[B, L]` on the CPU.
        """
        length = self.config.max_tokens
        full = self._tokenizer(list(prompts))["input_ids"]
        too_long = sum(len(tokens) > length for tokens in full)
        if too_long:
            warnings.warn(f"{too_long} prompts have more than {length} tokens and are cut.", PromptWarning, 2)
        batch = self._tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        inputs = {"input_ids": batch["input_ids"].to(self._device)}
        mask = batch["attention_mask"].bool()
        if self.config.attend_padding:
            mask = torch.ones_like(mask)
        else:
            inputs["attention_mask"] = batch["attention_mask"].to(self._device)
        states = self._model(**inputs).last_hidden_state.float().cpu()
        return states, mask


def _check_folder(path: Path, config: TextConfig) -> None:
    if not path.is_dir():
        raise TextError(f"There is no text encoder folder {path}.", "Fetch the run's text encoder first.")
    if not config.sha256:
        return
    weights = path / "model.safetensors"
    if not weights.is_file():
        raise TextError(f"The text encoder folder {path} lacks model.safetensors.")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != config.sha256:
        raise TextError(f"{weights} has SHA-256 {found[:12]}..., the run says {config.sha256[:12]}....")
