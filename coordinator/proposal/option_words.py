"""Errors about a source that has no run.toml yet: they name options of `init` in place of fields of [data.source]."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from paris.coordinator.prepare.errors import PrepareError

_OPTIONS = {
    "revision": "--revision",
    "image_column": "--image-column",
    "caption_column": "--captions",
}
_WORDS = (
    ('Set layout in [data.source] to "parquet" or "webdataset".', "Give the files to read, such as --include '*.tar'."),
    ("Check repo and endpoint in [data.source]", "Check the name or address, HF_ENDPOINT"),
    ("Check endpoint in [data.source]", "Check the address, or HF_ENDPOINT"),
    ("Check the source's path and its include.", "Check the path, and --include."),
    ("Check the source's path and include.", "Check the path, and --include."),
)
_FIELD = re.compile(r"Set (\w+) in \[data\.source\] to ")


@contextmanager
def named_by_options() -> Iterator[None]:
    """Raise errors of the block with a next step for a command line."""
    try:
        yield
    except PrepareError as error:
        raise type(error)(error.what, as_options(error.next_step)) from error


def as_options(next_step: str) -> str:
    """A next step for a command line.

    Args:
        next_step: One that may name fields of [data.source].
    """
    for field_words, option_words in _WORDS:
        next_step = next_step.replace(field_words, option_words)
    return _FIELD.sub(lambda found: f"Give {_OPTIONS.get(found[1], found[1])} ", next_step)
