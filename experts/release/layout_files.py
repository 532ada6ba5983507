"""Files of a model's folder: JSON in and out, and the text encoder and VAE, which are copied as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paris.experts.errors import LayoutError
from paris.experts.files import copy_whole, write_whole
from paris.experts.release.layout_fields import Layout

MAX_JSON_BYTES = 1 << 20
_RELEASED = {".json", ".safetensors", ".txt", ".model"}
"""Files that are copied: never a pickle, never code."""


def copy_frozen(layout: Layout, frozen: Path, folder: Path) -> Layout:
    """Copy text encoder and VAE to where the layout has them; the layout with these paths."""
    text, codec = layout.text, layout.codec
    if text.kind == "vocabulary":
        _copy_all(frozen / text.path, folder / "vocab.json")
        text = text.model_copy(update={"path": "vocab.json"})
    elif text.reads_text:
        _copy_all(frozen / text.path, folder / "text_encoder")
        if text.tokenizer_path:
            _copy_all(frozen / text.tokenizer_path, folder / "tokenizer")
        tokenizer = "tokenizer" if text.tokenizer_path else ""
        text = text.model_copy(update={"path": "text_encoder", "tokenizer_path": tokenizer})
    if codec.kind == "vae":
        _copy_all(frozen / codec.path, folder / "vae")
        codec = codec.model_copy(update={"path": "vae"})
    return layout.model_copy(update={"text": text, "codec": codec})


def _copy_all(source: Path, target: Path) -> None:
    if not source.exists():
        raise LayoutError(f"{source} is missing.", "Prepare the run's text encoder and codec first.")
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if file.is_file() and file.suffix in _RELEASED:
            copy_whole(file, target / file.relative_to(source) if source.is_dir() else target)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that may come from anybody.

    Raises:
        LayoutError: Missing, longer than `MAX_JSON_BYTES`, malformed, or not an object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise LayoutError(f"{path} cannot be read: {error.strerror}.", "Fetch the model again.") from error
    if len(data) > MAX_JSON_BYTES:
        raise LayoutError(f"{path} has more than {MAX_JSON_BYTES} bytes.")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"{path} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise LayoutError(f"{path} is not a JSON object.")
    return value
