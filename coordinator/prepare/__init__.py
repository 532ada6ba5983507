"""Data preparation: from captioned pictures to clusters, shards and manifests.

pipeline.py     all stages in their order, resumable
config.py       the settings
prepared.py     the record of a finished preparation
work_folder.py  work in progress
pretrained.py   the VAE and text encoder that a run takes from elsewhere
decoding.py     the first step of every pass over the pictures
progress.py     progress callbacks
errors.py       typed errors with a next step and an exit code

sources/        pictures, captions and their provenance: folders, tars, Parquet, Hub repos, Twemoji
rows/           the table of items, their licences, and the dropped rows
compute/        Daft on this machine or on a Ray cluster, and the functions that it applies to rows
selecting/      first pass: decode, filter, embed; missing captions
clustering/     k-means; each row's cluster and file
writing/        second pass: encode; shards, manifests, credits, card
showing/        clusters.json, clusters.png, clusters.html
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
