"""Frozen networks that a run takes from elsewhere: a VAE, a text encoder with its tokenizer.

<folder>/vae/              as diffusers writes it
<folder>/text_encoder/     as transformers writes it: encoder and tokenizer

Only safetensors, JSON and text are read. A folder gets its name when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from paris.coordinator.prepare.errors import PretrainedError
from paris.experts.files import sync


def fetch_vae(source: str, folder: Path) -> bool:
    """Put a VAE into a folder, unless it is there.

    Args:
        source: A diffusers AutoencoderKL: `org/name` or `org/name@revision` on the public Hub, or a folder.
        folder: Where it goes.

    Returns:
        Whether it was fetched.

    Raises:
        PretrainedError: It cannot be fetched, or lacks weights; nothing is left.
    """
    if (folder / "config.json").is_file():
        return False
    from diffusers import AutoencoderKL

    def save(part: Path) -> None:
        model, loading = AutoencoderKL.from_pretrained(
            *_named(source), **_revision(source), use_safetensors=True, output_loading_info=True
        )
        _require_whole(source, loading)
        model.save_pretrained(part, safe_serialization=True)

    _save_whole(source, folder, save)
    return True


def fetch_text_encoder(source: str, model_class: str, folder: Path) -> bool:
    """Put a text encoder and its tokenizer into a folder, unless they are there.

    Args:
        source: As for `fetch_vae`, of transformers.
        model_class: Class of transformers that reads it.
        folder: Where it goes.

    Returns:
        Whether it was fetched.

    Raises:
        PretrainedError: It cannot be fetched, or lacks weights; nothing is left.
    """
    if (folder / "config.json").is_file():
        return False
    import transformers

    def save(part: Path) -> None:
        model, loading = getattr(transformers, model_class).from_pretrained(
            *_named(source), **_revision(source), use_safetensors=True, output_loading_info=True
        )
        _require_whole(source, loading)
        model.save_pretrained(part, max_shard_size="1000TB")  # one file, whose digest is the encoder's
        transformers.AutoTokenizer.from_pretrained(*_named(source), **_revision(source)).save_pretrained(part)

    _save_whole(source, folder, save)
    return True


def _named(source: str) -> tuple[str]:
    return (source if Path(source).is_dir() else source.partition("@")[0],)


def _revision(source: str) -> dict[str, str]:
    revision = "" if Path(source).is_dir() else source.partition("@")[2]
    return {"revision": revision} if revision else {}


def _require_whole(source: str, loading: dict[str, Any]) -> None:
    """The libraries would go on with random weights. A pooler is not used, and often absent."""
    missing = sorted(name for name in loading["missing_keys"] if "pooler" not in name)
    if missing:
        raise PretrainedError(
            f"{source} lacks {missing[0]!r} ({len(missing)} weights missing in all).", "Name another in [pretrained]."
        )


def _save_whole(source: str, folder: Path, save: Callable[[Path], None]) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        save(part)
        for path in part.iterdir():
            sync(path)
        part.replace(folder)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise PretrainedError(
            f"{source} cannot be fetched: {str(error).splitlines()[0]}",
            "In [pretrained], name a folder, or a repo of the public Hub that this machine can reach.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
