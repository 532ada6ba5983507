"""The whole preparation, stage by stage.

list       the source's rows, without those that their metadata rules out     sources/, rows/
embed      decode, filter and embed the pictures                              selecting/
caption    caption the pictures that have no caption
cluster    k-means, held-out rows, order of the rows                          clustering/
encode     encode the pictures as the shards store them                       writing/
shards     shards and held-out files
describe   manifests, credits, card; clusters.json, .png and .html            writing/, showing/
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from paris.coordinator.prepare.clustering.plan import Plan, make_plan
from paris.coordinator.prepare.compute.engine import Engine
from paris.coordinator.prepare.compute.pictures import NO_CAPTION
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import EmptySourceError, OutputTakenError
from paris.coordinator.prepare.prepared import RECORD, Prepared, PreparedCluster, load_prepared, save_prepared
from paris.coordinator.prepare.progress import Progress
from paris.coordinator.prepare.rows.drops import DROPPED, DropList
from paris.coordinator.prepare.rows.items import items_key, write_items
from paris.coordinator.prepare.rows.licences import count_licences
from paris.coordinator.prepare.selecting.captions import Captioning, captioner_origin, fill_captions
from paris.coordinator.prepare.selecting.embedding import embed_items
from paris.coordinator.prepare.selecting.filters import admitted
from paris.coordinator.prepare.showing.describing import describe_clusters, frequent_words
from paris.coordinator.prepare.showing.examples import gather_examples
from paris.coordinator.prepare.showing.page import cluster_page
from paris.coordinator.prepare.showing.panels import draw_panels, make_panels
from paris.coordinator.prepare.sources import read_source, source_info
from paris.coordinator.prepare.work_folder import WorkFolder
from paris.coordinator.prepare.writing.encoding import EncodedRows, Encoder, Stored, encode_rows, probe
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

_DECODING = 3
"""Of the pixels that parts in the work folder were made of: parts of another one are made again."""
_OR_ELSE = 'or set captioner, or class_captions for folders of classes; or train without text: [text] kind = "none".'
_log = logging.getLogger(__name__)


def prepare(
    config: PrepareConfig,
    out_dir: Path,
    progress: Progress = lambda stage, done, total: None,
    *,
    engine: Engine | None = None,
    codec_folder: Path = Path(),
) -> Prepared:
    """Make the data of a run: clusters, shards, manifests, secret held-out rows.

    The same source, settings and seed give the same manifest digests. After a kill, the next call with the same
    arguments resumes from the last finished part; after a finished call, it returns the existing data.

    Args:
        config: What to prepare, and how.
        out_dir: The output folder; made if missing.
        progress: Called as the work proceeds.
        engine: Where to decode, embed and encode; None: on this machine's CPU.
        codec_folder: Parent of the folders of the VAE and the tokenizer, if the settings name any.

    Raises:
        PrepareError: The source, a setting or the data is invalid; `prepared.json` is not written.
        OutputTakenError: `out_dir` contains another data set, which is left unchanged.
        DiskFullError: No room; finished parts stay.
        ExpertError: The embedder or the codec cannot be loaded.
    """
    engine = engine or Engine()
    engine.start()
    work = WorkFolder(out_dir)
    with work.locked(), DropList(work.dropped) as drops:
        captioner = captioner_origin(config)
        table = _list_items(config, work.items, drops)
        progress("list", table.num_rows, table.num_rows)
        source_key = items_key(table)
        work_key = digest(canonical_bytes(["paris-prepare-1", config.sha256, source_key, captioner]))
        if (out_dir / RECORD).exists():
            work.items.unlink()
            return _load_existing(out_dir, work_key)
        work.claim(digest(canonical_bytes([_DECODING, work_key])))
        _log.info("Preparing %d rows of %s into %s.", table.num_rows, source_info(config.source).name, out_dir)
        captioning = Captioning(config, captioner, work.path, source_key, engine)
        job = _Job(config, out_dir, progress, engine, codec_folder, drops, work_key)
        features = work.embedding(source_key, config)
        prepared = _run_stages(job, table, captioning, features, work.encoded)
        shutil.rmtree(work.encoded)
        shutil.rmtree(features)
        shutil.rmtree(captioning.work, ignore_errors=True)
        work.items.unlink()
        return prepared


@dataclass(frozen=True)
class _Job:
    """The arguments of one preparation, and its list of dropped rows."""

    config: PrepareConfig
    out_dir: Path
    progress: Progress
    engine: Engine
    codec_folder: Path
    drops: DropList
    work_key: str


def _run_stages(job: _Job, table: pa.Table, captioning: Captioning, features: Path, encoded: Path) -> Prepared:
    """All stages after the list, up to the record."""
    config, progress, drops, engine = job.config, job.progress, job.drops, job.engine
    # Loaded first, so that a missing VAE or tokenizer is known before hours of embedding.
    stored, tokenizer = probe(config, job.codec_folder, engine), Tokenizer(config, job.codec_folder)

    embedded = embed_items(table, config, features, progress, drops, engine)
    _log.info("Embedded %d rows, dropped %d.", len(embedded.index), drops.counts.total())
    table, embedded = fill_captions(table, embedded, captioning, progress, drops)
    if not len(embedded.index):
        raise _nothing_left(drops)

    progress("cluster", 0, config.num_clusters)
    plan = make_plan(table, embedded.index, embedded.features, config)
    progress("cluster", config.num_clusters, config.num_clusters)
    _log.info("Training rows of the clusters: %s.", [len(part.training) for part in plan.clusters])

    shard_rows = stored.shard_rows(config)
    wanted = targets(plan, shard_rows, job.out_dir)
    rows = EncodedRows(encoded, in_order(wanted), stored)
    encode_rows(table, rows, Encoder(config, job.codec_folder, stored, engine), progress)
    write_targets(table, wanted, rows, stored, tokenizer, progress)
    _log.info("Wrote %d shards and held-out files.", len(wanted))

    progress("describe", 0, 1)
    clusters = [write_manifest(part, shard_rows, job.out_dir) for part in plan.clusters]
    prepared = _record(job, plan, stored, clusters, _describe(job, table, plan, clusters))
    drops.publish(job.out_dir / DROPPED)
    save_prepared(prepared, job.out_dir)
    progress("describe", 1, 1)
    _log.info("Finished %s.", job.out_dir)
    return prepared


def _list_items(config: PrepareConfig, path: Path, drops: DropList) -> pa.Table:
    """The source's rows, without those that their metadata rules out."""
    rows = admitted(read_source(config.source), config, drops)
    table = write_items(rows, path, max_images=config.max_images, seed=config.seed)
    if not table.num_rows:
        path.unlink()
        raise _nothing_left(drops)
    return table


def _nothing_left(drops: DropList) -> EmptySourceError:
    if not drops.counts:
        return EmptySourceError("The source contains no picture.", "Check the source's path and its list of names.")
    hint = "Check the files, and the filters in [data]."
    if NO_CAPTION in drops.counts:
        hint = f"Put a .txt file beside each, or a metadata.csv with the columns file_name and text; {_OR_ELSE}"
        if drops.first[NO_CAPTION].detail:
            found = f"The first has {drops.first[NO_CAPTION].detail}"
            hint = f"{found}. Set caption_column in [data.source] to the one with the captions; {_OR_ELSE}"
    return EmptySourceError(f"None of the source's pictures can be used: {drops.summary()}.", hint)


def _describe(job: _Job, table: pa.Table, plan: Plan, clusters: list[PreparedCluster]) -> dict[str, str]:
    """Write the small files; return the digests of the published ones."""
    config, out_dir, info = job.config, job.out_dir, source_info(job.config.source)
    counts = count_words(table, plan)
    published = ["attribution.parquet", "README.md"]
    if config.vocabulary:
        write_words(counts, config.max_vocab_words, out_dir / "vocab.json")
        published.append("vocab.json")
    write_attribution(table, plan, out_dir / "attribution.parquet")
    write_card(info, sum(cluster.rows for cluster in clusters), config, out_dir)

    words, licences = frequent_words(counts), count_licences(out_dir / "attribution.parquet")
    described = describe_clusters(table, plan, words, clusters, config, licences, job.drops.by_reason())
    write_whole(out_dir / "clusters.json", canonical_bytes(described))
    examples = gather_examples(table, plan, config, job.engine)
    draw_panels(make_panels(examples, plan, words), out_dir / "clusters.png")
    write_whole(out_dir / "clusters.html", cluster_page(info.name, described, examples).encode("utf-8"))
    return {name: file_sha256(out_dir / name) for name in sorted(published)}


def _record(job: _Job, plan: Plan, stored: Stored, clusters: list[PreparedCluster], files: dict[str, str]) -> Prepared:
    info, found = source_info(job.config.source), plan.clustering
    return Prepared(
        config=job.config.model_dump(mode="json"),
        work_key=job.work_key,
        source=info.name,
        licence=info.licence,
        attribution=info.attribution,
        clusters=tuple(clusters),
        latent_shape=stored.shape,
        latent_dtype=stored.dtype,
        dropped=job.drops.by_reason(),
        text={"path": "vocab.json", "sha256": files["vocab.json"]} if job.config.vocabulary else {},
        files=files,
        silhouette=found.silhouette.mean,
        davies_bouldin=found.davies_bouldin,
        silhouette_before=found.silhouette_before,
        sizes_before=found.sizes_before,
    )


def _load_existing(out_dir: Path, work_key: str) -> Prepared:
    """The finished data set in the folder.

    Raises:
        OutputTakenError: It has another source or other settings.
    """
    prepared = load_prepared(out_dir)
    if prepared.work_key != work_key:
        raise OutputTakenError(
            f"{out_dir} already contains data prepared from another source or with other settings.",
            "Give another folder, or delete this one.",
        )
    return prepared
