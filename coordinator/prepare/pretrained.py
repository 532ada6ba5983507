"""Frozen networks that a run takes from elsewhere: a VAE, a text encoder with its tokenizer.

<folder>/vae/              as diffusers writes it
<folder>/text_encoder/     as transformers writes it: encoder and tokenizer

Only safetensors, JSON and text are read. A folder gets its name when it is whole.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
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

    def save(part: Path) -> None:
        from diffusers import AutoencoderKL

        _loaded(AutoencoderKL, source, low_cpu_mem_usage=False).save_pretrained(part, safe_serialization=True)

    return _fetched(source, folder, save)


def fetch_text_encoder(source: str, model_class: str, folder: Path) -> bool:
    """Put a text encoder and its tokenizer into a folder, unless they are there; as `fetch_vae`.

    Args:
        source: As for `fetch_vae`, of transformers.
        model_class: Class of transformers that reads it.
        folder: Where it goes.
    """

    def save(part: Path) -> None:
        import transformers

        model = _loaded(getattr(transformers, model_class), source)
        model.save_pretrained(part, max_shard_size="1000TB")  # one file, whose digest is the encoder's
        transformers.AutoTokenizer.from_pretrained(**_named(source)).save_pretrained(part)

    return _fetched(source, folder, save)


def _named(source: str) -> dict[str, str]:
    name, _, revision = (source, "", "") if Path(source).is_dir() else source.partition("@")
    return {"pretrained_model_name_or_path": name} | ({"revision": revision} if revision else {})


def _loaded(model_class: Any, source: str, **options: Any) -> Any:
    """A whole model: the libraries would go on with random weights. A pooler is not used, and often absent."""
    model, loading = model_class.from_pretrained(
        **_named(source), **options, use_safetensors=True, output_loading_info=True
    )
    missing = sorted(name for name in loading["missing_keys"] if "pooler" not in name)
    if missing:
        raise PretrainedError(
            f"{source} lacks {missing[0]!r} ({len(missing)} weights missing in all).", "Name another in [pretrained]."
        )
    return model


def _fetched(source: str, folder: Path, save: Callable[[Path], None]) -> bool:
    if (folder / "config.json").is_file():
        return False
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet_client():
            save(part)
        for path in part.iterdir():
            sync(path)
        part.replace(folder)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise _explained(source, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


@contextmanager
def _quiet_client() -> Iterator[None]:
    """The Hub's client tells of each of its retries; the error at their end says enough."""
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="huggingface_hub")
            yield
    finally:
        client.setLevel(level)


def _explained(source: str, error: Exception) -> PretrainedError:
    """The libraries say of a Hub that does not answer that the repo has no such file; a cause has the reason."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionError | TimeoutError | httpx2.TransportError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return PretrainedError(
            f"{source} cannot be fetched: the Hub does not answer ({cause}).",
            "Check the network, then start the same command again; or name a folder in [pretrained].",
        )
    return PretrainedError(
        f"{source} cannot be fetched: {(str(error) or type(error).__name__).splitlines()[0]}",
        "In [pretrained], name a folder, or a repo of the public Hub that this machine can reach.",
    )
