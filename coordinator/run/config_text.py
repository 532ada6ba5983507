"""What run.toml may say of the text that experts read: [text], and the settings of other tables that depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paris.coordinator.run.config import RunConfig

_NEEDED = ("kind", "dim", "max_tokens")
_READERS = ("caption_dropout", "captioner", "tokenizer", "vocabulary")
"""Fields of [training] and [data] that concern captions."""


def with_text_defaults(values: Any) -> Any:
    """The content of run.toml; without text, no guidance is the default."""
    if not isinstance(values, dict):
        return values
    text, sampling = values.get("text"), values.get("sampling", {})
    if isinstance(text, dict) and text.get("kind") == "none" and isinstance(sampling, dict):
        return {**values, "sampling": {"guidance_scale": 1.0, **sampling}}
    return values


def check_text(config: RunConfig) -> None:
    """Raise ValueError unless [text] is complete, or is "none" and no other setting concerns captions or prompts."""
    if config.reads_text:
        missing = [name for name in _NEEDED if name not in config.text]
        if missing:
            raise ValueError(f"text.{missing[0]} is missing")
        return
    sampling = config.sampling
    unused = {
        **{f"text.{name}": name != "kind" for name in config.text},
        **{f"training.{name}": bool(config.training.get(name)) for name in _READERS},
        **{f"data.{name}": bool(config.data.get(name)) for name in _READERS},
        "router.sees_prompt": config.router.sees_prompt,
        "sampling.prompts": bool(sampling.prompts),
    }
    for name in (name for name, is_set in unused.items() if is_set):
        raise ValueError(f'{name} is set, but [text] kind is "none": these experts read no text')
    if sampling.guidance_scale != 1.0 and sampling.guidance_away_from == "expert":
        raise ValueError(
            f'sampling.guidance_scale is {sampling.guidance_scale}, but [text] kind is "none": set it to 1; or set '
            'guidance_away_from to "ensemble", which leads towards a cluster'
        )
