"""A text encoder of `transformers`: CLIP's text model, T5's encoder, or any sentence encoder.

`transformers` is imported when an encoder is made: it takes seconds and some 160 MB.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from paris.experts.errors import TextError
from paris.experts.files import file_sha256
from paris.experts.frozen.text import PromptWarning, TextConfig
from paris.experts.locks import ReentrantLock

_WEIGHTS = "model.safetensors"
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model"),
)


class TransformersEncoder:
    """Last hidden states of a frozen pretrained encoder, from local files, safetensors only.

    Raises:
        TextError: See `load_text_encoder`; also if the encoder has another width than the configured one.
    """

    def __init__(self, config: TextConfig, folder: Path, device: torch.device | str = "cpu") -> None:
        import transformers

        if not config.model_class:
            raise TextError(
                "A text encoder of kind 'transformers' needs model_class.", "Set it, e.g. to CLIPTextModel."
            )
        self.config = config
        self._lock = ReentrantLock()
        self._device = torch.device(device)
        model_path = folder / config.path
        tokenizer_path = folder / (config.tokenizer_path or config.path)
        _check_folder(model_path, config)
        self.tokenizer_sha256 = tokenizer_digest(tokenizer_path, config.max_tokens)
        try:
            model_class = getattr(transformers, config.model_class)
            model, loading = model_class.from_pretrained(
                model_path, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_path, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise TextError(f"The text encoder in {model_path} cannot be loaded: {error}") from error
        # transformers would go on with random weights. A pooler is not used, and often absent.
        missing = sorted(name for name in loading["missing_keys"] if "pooler" not in name)
        if missing:
            raise TextError(f"The text encoder in {model_path} lacks {missing[0]!r} ({len(missing)} missing in all).")
        if model.config.hidden_size != config.dim:
            raise TextError(f"The text encoder in {model_path} has width {model.config.hidden_size}, not {config.dim}.")
        self.model = model.to(self._device).eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See `TextEncoder.encode`; the null prompt is the encoder's output for an empty text."""
        length = self.config.max_tokens
        # A tokenizer keeps padding and truncation as its state: threads that set them at once get each other's.
        with self._lock:
            full = self.tokenizer(list(prompts))["input_ids"]
            batch = self.tokenizer(
                list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
            )
        too_long = sum(len(tokens) > length for tokens in full)
        if too_long:
            warnings.warn(f"{too_long} prompts have more than {length} tokens and are cut.", PromptWarning, 2)
        return self._states(batch)

    @torch.no_grad()
    def encode_ids(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """See `TextEncoder.encode_ids`."""
        prompts = {"input_ids": [list(prompt) for prompt in ids]}
        length = self.config.max_tokens
        with self._lock:
            batch = self.tokenizer.pad(prompts, padding="max_length", max_length=length, return_tensors="pt")
        return self._states(batch)

    def _states(self, batch: Any) -> tuple[Tensor, Tensor]:
        inputs = {"input_ids": batch["input_ids"].to(self._device)}
        mask = batch["attention_mask"].bool()
        if self.config.attend_padding:
            mask = torch.ones_like(mask)
        else:
            inputs["attention_mask"] = batch["attention_mask"].to(self._device)
        states = self.model(**inputs).last_hidden_state.float().cpu()
        return states, mask

    def to(self, device: torch.device | str) -> None:
        """See `TextEncoder.to`."""
        self._device = torch.device(device)
        self.model.to(self._device)

    def save(self, folder: Path) -> TextConfig:
        """Write encoder and tokenizer as `transformers` does, into `folder/text_encoder` and `folder/tokenizer`."""
        # One file of any size: its digest is the encoder's.
        self.model.save_pretrained(folder / "text_encoder", max_shard_size="1000TB")
        self.tokenizer.save_pretrained(folder / "tokenizer")
        sha256 = file_sha256(folder / "text_encoder" / _WEIGHTS) if self.config.sha256 else ""
        places = {"path": "text_encoder", "tokenizer_path": "tokenizer", "sha256": sha256}
        return self.config.model_copy(update=places)


def tokenizer_digest(folder: Path, max_tokens: int) -> str:
    """SHA-256 of all that a prompt's ids depend on: the tokenizer's files, and where prompts are truncated."""
    files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    lines = [str(max_tokens), *(f"{path.name} {file_sha256(path)}" for path in files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_folder(path: Path, config: TextConfig) -> None:
    if not path.is_dir():
        raise TextError(f"There is no text encoder folder {path}.", "Fetch the run's text encoder first.")
    if not config.sha256:
        return
    weights = path / _WEIGHTS
    if not weights.is_file():
        raise TextError(f"The text encoder folder {path} lacks {_WEIGHTS}.")
    found = file_sha256(weights)
    if found != config.sha256:
        raise TextError(f"{weights} has SHA-256 {found[:12]}..., the run names {config.sha256[:12]}....")
