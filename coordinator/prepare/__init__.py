"""Data preparation: from captioned pictures to clusters, shards and manifests.

config.py       what to prepare, and how
errors.py       typed errors with a next step and an exit code
pipeline.py     the whole way, resumable
prepared.py     what a finished preparation says of itself

sources/        where pictures, captions and their provenance come from
items.py        the list of them, before any is opened
filters.py      what is left out; near_duplicates.py, licences.py; drops.py keeps the list
captions.py     captions for pictures without one; captioner.py: the model
engine.py       Daft, on this machine or on a Ray cluster; devices.py gives each process a GPU
functions.py    what Daft applies to the rows
pictures.py     from a file's bytes to a square of pixels
embedding.py    first pass: decode, filter, embed
kmeans.py       two-stage k-means; balance.py evens sizes, catch_all.py splits what takes in too much
separation.py   how well clusters are told apart
plan.py         which row goes where
encoding.py     second pass: decode, encode
shard_files.py  shards and held-out files out of that; tokens.py numbers the captions' words
outputs.py      manifests, vocabulary, credits, the card
describing.py   what each cluster is about: clusters.json
examples.py     pictures that show a cluster: panels.py draws clusters.png, page.py writes clusters.html
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paris.coordinator.prepare.config import PrepareConfig, prepare_config
    from paris.coordinator.prepare.errors import PrepareError
    from paris.coordinator.prepare.pipeline import prepare
    from paris.coordinator.prepare.prepared import Prepared, load_prepared

_HOME = {
    "PrepareConfig": "config",
    "PrepareError": "errors",
    "Prepared": "prepared",
    "load_prepared": "prepared",
    "prepare": "pipeline",
    "prepare_config": "config",
}

__all__ = ["PrepareConfig", "PrepareError", "Prepared", "load_prepared", "prepare", "prepare_config"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package imports neither Daft nor torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
