"""Cards: the YAML metadata of a README, and the tags for search."""

from __future__ import annotations

import datetime
import functools
import json
import re
from typing import Any

import yaml

from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.trees import Listing

_FRONT_MATTER = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_MAX_CARD_BYTES = 1024**2
_MAX_METADATA_CHARS = 64 * 1024
_MAX_TAGS = 200


def split_card(text: str) -> tuple[str | None, str]:
    """The YAML of a card, or None, and the text below it."""
    match = _FRONT_MATTER.match(text)
    return (match[1], text[match.end() :].lstrip("\r\n")) if match else (None, text)


def parse_card(text: str) -> tuple[dict[str, Any], list[str]]:
    """Parse the metadata of a card.

    Returns:
        Plain JSON data, empty if it is invalid, and the errors.
    """
    front, _ = split_card(text)
    if front is None:
        return {}, []
    if len(front) > _MAX_METADATA_CHARS:
        return {}, [f"The metadata is longer than {_MAX_METADATA_CHARS} characters."]
    try:
        # References are rejected before anything is built: expanded, they could fill the memory.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(front, Loader=yaml.SafeLoader)):
            return {}, ["The metadata has anchors and references, which are not allowed in a card."]
        data = yaml.safe_load(front)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, [f"The metadata is not YAML: {error}"]
    if data is None:
        return {}, []
    if not isinstance(data, dict):
        return {}, ["The metadata is not a mapping of names to values."]
    try:
        plain: dict[str, Any] = plain_json({str(key): value for key, value in data.items()})
    except (TypeError, ValueError, RecursionError):
        return {}, ["The metadata has a value that JSON cannot represent."]
    return plain, []


def plain_json(data: Any) -> Any:
    """Untrusted data as plain JSON: no NaN, no broken Unicode, dates as text.

    Raises:
        ValueError, TypeError: A value cannot be represented.
    """
    return json.loads(json.dumps(data, allow_nan=False, ensure_ascii=False, default=_plain).encode())


def _plain(value: object) -> str:
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


@functools.lru_cache(maxsize=256)
def _card_at(blobs: BlobStore, sha256: str) -> tuple[dict[str, Any], str]:
    text = blobs.read(sha256).decode(errors="replace")
    return parse_card(text)[0], split_card(text)[1]


def read_card(blobs: BlobStore, listing: Listing) -> tuple[dict[str, Any], str]:
    """Data and text of a revision's README.md, both empty without one. Cached; callers must not change them."""
    entry = listing.files.get("README.md")
    if entry is None or entry.size > _MAX_CARD_BYTES:
        return {}, ""
    return _card_at(blobs, entry.sha256)


def derive_tags(card: dict[str, Any], listing: Listing) -> list[str]:
    """The tags of a repository, as on the public Hub (`license:mit`, `dataset:org/name`, ...)."""
    found = [*_texts(card.get("tags")), *_texts(card.get("library_name")), *_texts(card.get("pipeline_tag"))]
    found += _texts(card.get("language"))
    for field, prefix in (("license", "license"), ("datasets", "dataset"), ("base_model", "base_model")):
        found += [f"{prefix}:{value}" for value in _texts(card.get(field))]
    if any(path.endswith(".safetensors") for path in listing.files):
        found.append("safetensors")
    return list(dict.fromkeys(found))[:_MAX_TAGS]


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(item) for item in values if isinstance(item, str | int) and str(item)]
