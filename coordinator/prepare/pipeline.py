"""The whole way: source, decode and filter, embed, cluster, encode, shards, manifests, descriptions.

Work in progress and what lets it go on after a kill stand in `<out>/.prepare`:

    .prepare/lock                held by the process that prepares
    .prepare/key                 of the settings and the source that the files in the folder belong to
    .prepare/items.arrow         what the source offers
    .prepare/embedding-<key>/    features, part by part
    .prepare/captions-<key>/     captions that a model made, part by part
    .prepare/encoded/            what the shards will store, part by part
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from paris.coordinator.prepare.clustering.plan import Plan, make_plan
from paris.coordinator.prepare.compute.engine import Engine
from paris.coordinator.prepare.compute.pictures import NO_CAPTION
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import EmptySourceError, OutputTakenError
from paris.coordinator.prepare.prepared import RECORD, Prepared, PreparedCluster, load_prepared, save_prepared
from paris.coordinator.prepare.rows.drops import DROPPED, DropList
from paris.coordinator.prepare.rows.items import SourceInfo, items_key, write_items
from paris.coordinator.prepare.rows.licences import count_licences
from paris.coordinator.prepare.selecting.captions import Captioning, captioner_origin, fill_captions
from paris.coordinator.prepare.selecting.embedding import Report, embed_items
from paris.coordinator.prepare.selecting.filters import admitted
from paris.coordinator.prepare.showing.describing import describe_clusters, frequent_words
from paris.coordinator.prepare.showing.examples import gather_examples
from paris.coordinator.prepare.showing.page import cluster_page
from paris.coordinator.prepare.showing.panels import draw_panels, make_panels
from paris.coordinator.prepare.sources import read_source, source_info
from paris.coordinator.prepare.writing.encoding import EncodedRows, Encoder, encode_rows, probe
from paris.coordinator.prepare.writing.outputs import (
    count_words,
    write_attribution,
    write_card,
    write_manifest,
    write_words,
)
from paris.coordinator.prepare.writing.shard_files import in_order, targets, write_targets
from paris.coordinator.prepare.writing.tokens import Tokenizer
from paris.experts.files import file_sha256, write_whole
from paris.protocol.canonical import canonical_bytes, digest
from paris.protocol.locks import try_lock

_ENCODED = ".prepare/encoded"
_OUTPUTS = ("shards", "heldout", "manifests")
_SMALL = (
    *(DROPPED, "vocab.json", "attribution.parquet", "README.md"),
    *("clusters.json", "clusters.png", "clusters.html"),
)


def prepare(
    config: PrepareConfig,
    out_dir: Path,
    progress: Report = lambda stage, done, total: None,
    *,
    engine: Engine | None = None,
    codec_folder: Path = Path(),
) -> Prepared:
    """Make the data of a run: clusters, shards, manifests, secret held-out rows.

    The same source, settings and seed give the same manifest digests. Killed anywhere, the next call with the same
    arguments goes on from the last finished part; called again when finished, it returns what is there.

    Args:
        config: What to prepare, and how.
        out_dir: Where to; made if it is not there.
        progress: Told (stage, done, total) as the work goes on; what it raises stops the work.
        engine: Where to decode, embed and encode; None: on this machine's processor.
        codec_folder: Where the folders of a VAE and of a tokenizer are, for a codec and captions that need one.

    Raises:
        PrepareError: Source, settings, or data do not fit; `prepared.json` is not written.
        OutputTakenError: `out_dir` holds another data set, which stays.
        DiskFullError: No room; what is finished stays.
        ExpertError: The embedder or the codec cannot be loaded.
    """
    engine = engine or Engine()
    engine.start()
    work = out_dir / ".prepare"
    with _locked(work), DropList(work / "dropped.arrows") as drops:
        origin = captioner_origin(config)
        table = _listed(config, work / "items.arrow", drops)
        progress("list", table.num_rows, table.num_rows)
        source_key = items_key(table)
        work_key = digest(canonical_bytes(["paris-prepare-1", config.sha256, source_key, origin]))
        if (out_dir / RECORD).exists():
            (work / "items.arrow").unlink()
            return _finished(out_dir, work_key)
        _claim(out_dir, work_key)
        captioning = Captioning(config, origin, work, source_key, engine)
        features = work / f"embedding-{_embedding_key(source_key, config)}"
        found = _Found(table, source_info(config.source), drops, work_key, features, captioning)
        return _prepare(config, out_dir, progress, found, engine, codec_folder)


def _listed(config: PrepareConfig, path: Path, drops: DropList) -> pa.Table:
    """What the source offers, less what is dropped for what is written of it."""
    rows = admitted(read_source(config.source), config, drops)
    table = write_items(rows, path, max_images=config.max_images, seed=config.seed)
    if not table.num_rows:
        path.unlink()
        raise _nothing_left(drops)
    return table


def _nothing_left(drops: DropList) -> EmptySourceError:
    if not drops.counts:
        return EmptySourceError("The source holds no picture.", "Check the source's path and its list of names.")
    hint = "Check the files, and the filters in [data]."
    if NO_CAPTION in drops.counts:
        hint = "Put a .txt file beside each, or a metadata.csv with the columns file_name and text; or set captioner."
    return EmptySourceError(f"None of the source's pictures can be used: {drops.summary()}.", hint)


@dataclass(frozen=True)
class _Found:
    """What the source turned out to be, and where its features are kept."""

    table: pa.Table
    info: SourceInfo
    drops: DropList
    work_key: str
    work: Path
    captioning: Captioning


def _prepare(
    config: PrepareConfig, out_dir: Path, progress: Report, found: _Found, engine: Engine, codec_folder: Path
) -> Prepared:
    # First, so that a missing VAE or tokenizer is known before hours of embedding and not after them.
    stored, tokenizer = probe(config, codec_folder, engine), Tokenizer(config, codec_folder)
    embedded = embed_items(found.table, config, found.work, progress, found.drops, engine)
    table, embedded = fill_captions(found.table, embedded, found.captioning, progress, found.drops)
    if not len(embedded.index):
        raise _nothing_left(found.drops)
    found = replace(found, table=table)
    progress("cluster", 0, config.num_clusters)
    plan = make_plan(found.table, embedded, config)
    progress("cluster", config.num_clusters, config.num_clusters)
    shard_rows = stored.shard_rows(config)
    wanted = targets(plan, shard_rows, out_dir)
    encoded = EncodedRows(out_dir / _ENCODED, in_order(wanted), stored)
    encode_rows(found.table, encoded, Encoder(config, codec_folder, stored, engine), progress)
    write_targets(found.table, wanted, encoded, stored, tokenizer, progress)
    progress("describe", 0, 1)
    clusters = tuple(write_manifest(part, shard_rows, out_dir) for part in plan.clusters)
    files = _describe(config, out_dir, found, plan, list(clusters), engine)
    prepared = Prepared(
        config=config.model_dump(mode="json"),
        work_key=found.work_key,
        source=found.info.name,
        licence=found.info.licence,
        attribution=found.info.attribution,
        clusters=clusters,
        latent_shape=stored.shape,
        latent_dtype=stored.dtype,
        dropped=dict(sorted(found.drops.counts.items())),
        text={"path": "vocab.json", "sha256": files["vocab.json"]} if config.vocabulary else {},
        files=files,
        silhouette=plan.clustering.silhouette.mean,
        davies_bouldin=plan.clustering.davies_bouldin,
        silhouette_before=plan.clustering.silhouette_before,
        sizes_before=plan.clustering.sizes_before,
    )
    found.drops.publish(out_dir / DROPPED)
    save_prepared(prepared, out_dir)
    progress("describe", 1, 1)
    shutil.rmtree(out_dir / _ENCODED)
    shutil.rmtree(found.work)
    shutil.rmtree(found.captioning.work, ignore_errors=True)
    (out_dir / ".prepare" / "items.arrow").unlink()
    return prepared


def _describe(
    config: PrepareConfig, out_dir: Path, found: _Found, plan: Plan, clusters: list[PreparedCluster], engine: Engine
) -> dict[str, str]:
    """Write the small files; returns the digests of the published ones."""
    counts = count_words(found.table, plan)
    names = ["attribution.parquet", "README.md"]
    if config.vocabulary:
        write_words(counts, config.max_vocab_words, out_dir / "vocab.json")
        names.append("vocab.json")
    write_attribution(found.table, plan, out_dir / "attribution.parquet")
    write_card(found.info, sum(cluster.rows for cluster in clusters), config, out_dir)
    words, licences = frequent_words(counts), count_licences(out_dir / "attribution.parquet")
    dropped = dict(sorted(found.drops.counts.items()))
    described = describe_clusters(found.table, plan, words, clusters, config, licences, dropped)
    write_whole(out_dir / "clusters.json", canonical_bytes(described))
    examples = gather_examples(found.table, plan, config, engine)
    draw_panels(make_panels(examples, plan, words), out_dir / "clusters.png")
    write_whole(out_dir / "clusters.html", cluster_page(found.info.name, described, examples).encode("utf-8"))
    return {name: file_sha256(out_dir / name) for name in sorted(names)}


def _embedding_key(source_key: str, config: PrepareConfig) -> str:
    names = {"embedder", "view_px", "min_side_px", "max_image_pixels", "max_aspect"}
    settings = config.model_dump(mode="json", include=names)
    return digest(canonical_bytes([source_key, settings, config.near_duplicate_bits is not None]))[:16]


def _finished(out_dir: Path, work_key: str) -> Prepared:
    """What is there, if it is what was asked for."""
    prepared = load_prepared(out_dir)
    if prepared.work_key != work_key:
        raise OutputTakenError(
            f"{out_dir} already holds data prepared from another source or with other settings.",
            "Give another folder, or delete this one.",
        )
    return prepared


def _claim(out_dir: Path, work_key: str) -> None:
    """Clear away what an unfinished preparation of other data left, and note whose files come now."""
    key_file = out_dir / ".prepare" / "key"
    if key_file.is_file() and key_file.read_text("ascii", "replace") == work_key:
        return
    if not key_file.is_file() and any((out_dir / name).exists() for name in (*_OUTPUTS, *_SMALL)):
        raise OutputTakenError(f"{out_dir} holds files that no preparation left there.", "Give an empty folder.")
    for name in (*_OUTPUTS, _ENCODED):
        shutil.rmtree(out_dir / name, ignore_errors=True)
    for name in _SMALL:
        (out_dir / name).unlink(missing_ok=True)
    write_whole(key_file, work_key.encode("ascii"))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time prepare into a folder; the system drops the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = try_lock(folder / "lock")
    if lock is None:
        raise OutputTakenError(
            f"Another process prepares into {folder.parent}.", "Wait for it, or give another folder."
        )
    with lock:
        yield
