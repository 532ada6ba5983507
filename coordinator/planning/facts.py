"""What a plan starts from: the run's settings, and what is known of its data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.coordinator.errors import ConfigError, NotReadyError
from paris.coordinator.planning import networks
from paris.coordinator.prepare.config import PrepareConfig, prepare_config
from paris.coordinator.prepare.sources.settings import TwemojiSource
from paris.coordinator.run.config import RunConfig
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests, prepared_record
from paris.coordinator.run.shapes import expert_shape, router_shape
from paris.experts.models.presets import ModelConfig, RouterConfig

_STORED_SHARE = {"uint8": 0.75, "float16": 0.9, "int8": 0.76}
"""Bytes of a stored picture in a shard over those in memory: benchmarks.latents for latents, the demo for pixels."""
_TEXT_BYTES = 100
_FILE_BYTES = 8_000
"""Of a row's caption and credits, and of a shard's own metadata, compressed; from the demo's shards."""
_AROUND_BYTES = 256
_CREDIT_BYTES = 60
_WORD_BYTES = 10
_SHARED_FILES = ("attribution.parquet", "vocab.json", "README.md")


@dataclass(frozen=True)
class DataFacts:
    """Rows and bytes of the data, one entry a cluster."""

    rows: tuple[int, ...]
    """Training rows."""
    heldout_rows: tuple[int, ...]
    shard_bytes: tuple[int, ...]
    """Of a cluster's shards in all."""
    small_bytes: int
    """Of the published files beside the shards: credits, vocabulary, card."""
    vocabulary_bytes: int
    """Of the vocabulary, which every volunteer fetches."""
    is_prepared: bool
    origin: str
    """Where the numbers come from, one sentence."""

    @property
    def num_pictures(self) -> int:
        """Training and held-out rows of all clusters."""
        return sum(self.rows) + sum(self.heldout_rows)


@dataclass(frozen=True)
class Facts:
    """A run's settings and data, as a plan needs them."""

    config: RunConfig
    data_settings: PrepareConfig
    model: ModelConfig
    router: RouterConfig
    data: DataFacts
    text: networks.Network | None
    embedder: networks.Network
    vae: networks.Network | None

    @property
    def precision(self) -> str:
        """Precision of the training."""
        return str(self.config.expert_training.get("precision", "float32"))

    @property
    def moments(self) -> str:
        """Moments of the optimizer."""
        return str(self.config.expert_training.get("moments", "float32"))

    @property
    def state(self) -> str:
        """Form of a leg's state."""
        return str(self.config.expert_training.get("state", "exact"))

    @property
    def batch_size(self) -> int:
        """Rows of an expert's step; at least 1, also where the setting is less, which is a problem of its own."""
        return max(1, int(self.config.expert_training["batch_size"]))

    @property
    def stored_bytes(self) -> int:
        """Bytes of one stored picture in memory."""
        return self.model.in_channels * self.model.image_size**2 * (2 if _stored_type(self.config) == "float16" else 1)


def facts_of_run(run: RunDir, pictures: int | None = None) -> Facts:
    """What is known of a run: after `prepare` its exact rows and bytes, before it an estimate.

    Args:
        run: The run directory.
        pictures: How many pictures there will be, before `prepare`; None: of run.toml, or of the packaged pictures.

    Raises:
        NotReadyError: Nothing says how many pictures there are.
        ConfigError: A number of pictures is given, but the data is prepared.
        RunDirError: A file of the prepared data is damaged.
        ExpertError, PrepareConfigError: A setting is invalid.
    """
    if (run.data / "prepared.json").is_file():
        if pictures is not None:
            raise ConfigError(f"--pictures {pictures} is given, but the data is prepared.", "Leave --pictures out.")
        return _facts(run.config, _prepared(run), run.data)
    return facts_before(run.config, pictures, run.data)


def facts_before(config: RunConfig, pictures: int | None = None, folder: Path | None = None) -> Facts:
    """What is known of settings whose data is not prepared. Arguments and errors as for `facts_of_run`.

    Args:
        config: The settings.
        pictures: As in `facts_of_run`.
        folder: The data folder, where frozen networks may be.
    """
    return _facts(config, _estimated(config, pictures), folder)


def _facts(config: RunConfig, data: DataFacts, folder: Path | None) -> Facts:
    settings = _data_settings(config)
    return Facts(
        config=config,
        data_settings=settings,
        model=expert_shape(config),
        router=router_shape(config, reads_prompt=config.router.sees_prompt),
        data=data,
        text=networks.text_encoder(config.text, folder),
        embedder=networks.embedder(settings.embedder),
        vae=networks.vae(settings.image_size) if config.codec.get("kind") == "vae" else None,
    )


def _data_settings(config: RunConfig) -> PrepareConfig:
    return prepare_config({**config.data, "num_clusters": config.run.num_experts})


def _stored_type(config: RunConfig) -> str:
    return "uint8" if config.codec.get("kind") != "vae" else str(config.codec.get("store", "float16"))


def _prepared(run: RunDir) -> DataFacts:
    record: dict[str, Any] = prepared_record(run)
    manifests = load_manifests(run)
    sizes = {name: path.stat().st_size for name in _SHARED_FILES if (path := run.data / name).is_file()}
    return DataFacts(
        rows=tuple(sum(shard.rows for shard in manifest.shards) for manifest in manifests),
        heldout_rows=tuple(int(cluster.get("heldout_rows", 0)) for cluster in record.get("clusters", ())),
        shard_bytes=tuple(manifest.num_bytes for manifest in manifests),
        small_bytes=sum(sizes.values()),
        vocabulary_bytes=sizes.get("vocab.json", 0),
        is_prepared=True,
        origin="Rows and bytes are those of the prepared data.",
    )


def _estimated(config: RunConfig, pictures: int | None) -> DataFacts:
    settings, experts = _data_settings(config), config.run.num_experts
    total, heldout, origin = _pictures(config, settings, pictures)
    each = total // experts
    secret = settings.heldout_per_cluster(each) if heldout is None else heldout // experts
    rows = max(0, each - secret) if heldout is None else each
    stored = expert_shape(config)
    raw = stored.in_channels * stored.image_size**2 * (2 if _stored_type(config) == "float16" else 1)
    shard_rows = settings.rows_per_shard or max(1, settings.shard_bytes // (raw + _AROUND_BYTES))
    row_bytes = raw * _STORED_SHARE[_stored_type(config)] + _TEXT_BYTES
    shard_bytes = int(rows * row_bytes) + math.ceil(rows / shard_rows) * _FILE_BYTES
    words = _WORD_BYTES * min(settings.max_vocab_words, total) if config.text.get("kind") == "vocabulary" else 0
    return DataFacts(
        rows=(rows,) * experts,
        heldout_rows=(secret,) * experts,
        shard_bytes=(shard_bytes,) * experts,
        small_bytes=_FILE_BYTES + _CREDIT_BYTES * total + words,
        vocabulary_bytes=words,
        is_prepared=False,
        origin=origin,
    )


def _pictures(config: RunConfig, settings: PrepareConfig, asked: int | None) -> tuple[int, int | None, str]:
    """Pictures; how many more are held out, None where those are taken from them; and who says so."""
    if asked is not None:
        return asked, None, f"{asked:,} pictures are assumed (--pictures); equal clusters."
    if settings.max_images is None and isinstance(settings.source, TwemojiSource):
        from paris.coordinator.prepare.sources.twemoji import read_twemoji

        items = read_twemoji(settings.source)
        secret = sum(item.role == "heldout" for item in items)
        trained, taken = len(items) - secret, None
        if secret:
            taken = min(secret, settings.heldout_per_cluster(trained) * config.run.num_experts)
        return trained, taken, f"{trained:,} pictures are listed in the source; equal clusters."
    listed = config.about.pictures if config.about is not None else None
    known = [number for number in (listed, settings.max_images) if number is not None]
    if known:
        return min(known), None, f"{min(known):,} pictures are assumed by run.toml; equal clusters."
    raise NotReadyError(
        "Nothing says how many pictures there are.",
        "Give --pictures, or set pictures in [about] of run.toml, or run `paris-coord prepare` first.",
    )
