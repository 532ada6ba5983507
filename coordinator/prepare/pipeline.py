"""The whole way: source, decode and filter, embed, cluster, encode, shards, manifests, descriptions.

Work in progress and what lets it go on after a kill stand in `<out>/.prepare`:

    .prepare/lock                held by the process that prepares
    .prepare/key                 of the settings and the source that the files in the folder belong to
    .prepare/items.arrow         what the source offers
    .prepare/embedding-<key>/    features, part by part
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.embedding import Report, embed_items
from paris.coordinator.prepare.encoding import Encoder, encode_targets, probe, targets
from paris.coordinator.prepare.engine import Engine
from paris.coordinator.prepare.errors import EmptySourceError, OutputTakenError
from paris.coordinator.prepare.examples import gather_examples
from paris.coordinator.prepare.items import SourceInfo, items_key, make_table, save_items
from paris.coordinator.prepare.outputs import (
    count_words,
    describe_clusters,
    write_attribution,
    write_card,
    write_manifest,
    write_words,
)
from paris.coordinator.prepare.page import cluster_page
from paris.coordinator.prepare.panels import draw_panels, make_panels
from paris.coordinator.prepare.plan import Plan, make_plan
from paris.coordinator.prepare.prepared import RECORD, Prepared, PreparedCluster, load_prepared, save_prepared
from paris.coordinator.prepare.sources import read_source
from paris.coordinator.prepare.tokens import load_tokenizer
from paris.experts.files import file_sha256, write_whole
from paris.protocol.canonical import canonical_bytes, digest

_OUTPUTS = ("shards", "heldout", "manifests")
_SMALL = ("vocab.json", "attribution.parquet", "README.md", "clusters.json", "clusters.png", "clusters.html")


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
    with _locked(out_dir / ".prepare"):
        items, info, dropped = read_source(config.source)
        table = make_table(items, max_images=config.max_images, seed=config.seed)
        progress("list", table.num_rows, table.num_rows)
        source_key = items_key(table)
        work_key = digest(canonical_bytes(["paris-prepare-1", config.sha256, source_key]))
        if (out_dir / RECORD).exists():
            return _finished(out_dir, work_key)
        _claim(out_dir, work_key)
        table = save_items(table, out_dir / ".prepare" / "items.arrow")
        work = out_dir / ".prepare" / f"embedding-{_embedding_key(source_key, config)}"
        return _prepare(config, out_dir, progress, _Found(table, info, dropped, work_key, work), engine, codec_folder)


@dataclass(frozen=True)
class _Found:
    """What the source turned out to be, and where its features are kept."""

    table: pa.Table
    info: SourceInfo
    dropped: Counter[str]
    work_key: str
    work: Path


def _prepare(
    config: PrepareConfig, out_dir: Path, progress: Report, found: _Found, engine: Engine, codec_folder: Path
) -> Prepared:
    # First, so that a missing VAE or tokenizer is known before hours of embedding and not after them.
    stored, tokenize = probe(config, codec_folder, engine), load_tokenizer(config, codec_folder)
    embedded = embed_items(found.table, config, found.work, progress, engine)
    if not len(embedded.index):
        reasons = ", ".join(f"{count} {reason}" for reason, count in embedded.dropped.items())
        raise EmptySourceError(f"None of the source's pictures can be used: {reasons}.", "Check the files.")
    progress("cluster", 0, config.num_clusters)
    plan = make_plan(found.table, embedded, config)
    progress("cluster", config.num_clusters, config.num_clusters)
    shard_rows = stored.shard_rows(config)
    wanted = targets(plan, shard_rows, out_dir)
    encoder = Encoder(config, codec_folder, stored, tokenize, engine)
    encode_targets(found.table, wanted, encoder, progress)
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
        dropped=dict(sorted((found.dropped + Counter(embedded.dropped)).items())),
        text={"path": "vocab.json", "sha256": files["vocab.json"]} if config.vocabulary else {},
        files=files,
        silhouette=plan.clustering.silhouette.mean,
        davies_bouldin=plan.clustering.davies_bouldin,
        silhouette_before=plan.clustering.silhouette_before,
        sizes_before=plan.clustering.sizes_before,
    )
    save_prepared(prepared, out_dir)
    progress("describe", 1, 1)
    shutil.rmtree(found.work)
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
    write_card(found.info, sum(cluster.rows for cluster in clusters), config, out_dir / "README.md")
    described = describe_clusters(found.table, plan, counts, clusters, config)
    write_whole(out_dir / "clusters.json", canonical_bytes(described))
    examples = gather_examples(found.table, plan, config, engine)
    draw_panels(make_panels(examples, plan, counts), out_dir / "clusters.png")
    write_whole(out_dir / "clusters.html", cluster_page(found.info.name, described, examples).encode("utf-8"))
    return {name: file_sha256(out_dir / name) for name in sorted(names)}


def _embedding_key(source_key: str, config: PrepareConfig) -> str:
    settings = config.model_dump(mode="json", include={"embedder", "view_px", "min_side_px", "max_image_pixels"})
    return digest(canonical_bytes([source_key, settings]))[:16]


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
    for name in _OUTPUTS:
        shutil.rmtree(out_dir / name, ignore_errors=True)
    for name in _SMALL:
        (out_dir / name).unlink(missing_ok=True)
    write_whole(key_file, work_key.encode("ascii"))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time prepare into a folder; the system drops the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputTakenError(
                f"Another process prepares into {folder.parent}.", "Wait for it, or give another folder."
            ) from error
        yield
