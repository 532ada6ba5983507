"""The small files beside the shards: manifests, vocabulary, credits, the card."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from paris.coordinator.prepare.clustering.plan import ClusterPlan, Plan
from paris.coordinator.prepare.config import PrepareConfig, public_name
from paris.coordinator.prepare.prepared import PreparedCluster
from paris.coordinator.prepare.rows.items import SourceInfo, rows_at
from paris.coordinator.prepare.rows.licences import card_licences, licence_table
from paris.coordinator.prepare.writing.shard_files import heldout_path, shard_path
from paris.experts.files import file_sha256, whole_file, write_whole
from paris.protocol.canonical import canonical_bytes
from paris.protocol.hub_layout import manifest_path
from paris.protocol.manifest import shards_digest
from paris.protocol.run_records import Shard

_CREDITS = ("row_id", "caption", "source", "url", "author", "licence", "caption_origin")
_CREDIT_ROWS = 65536


def write_manifest(part: ClusterPlan, shard_rows: int, out_dir: Path) -> PreparedCluster:
    """Hash a cluster's shards and write its manifest."""
    shards = []
    for number, rows in enumerate(part.shards(shard_rows)):
        name = shard_path(part.cluster, number)
        path = out_dir / name
        shards.append(Shard(path=name, sha256=file_sha256(path), bytes=path.stat().st_size, rows=len(rows)))
    name = manifest_path(part.cluster)
    listed = {"cluster": part.cluster, "shards": [shard.model_dump(mode="json") for shard in shards]}
    write_whole(out_dir / name, canonical_bytes(listed))
    return PreparedCluster(
        cluster=part.cluster,
        rows=len(part.training),
        data_bytes=sum(shard.bytes for shard in shards),
        num_shards=len(shards),
        manifest=name,
        manifest_sha256=shards_digest(tuple(shards)),
        heldout=heldout_path(part.cluster),
        heldout_rows=len(part.heldout),
        heldout_sha256=file_sha256(out_dir / heldout_path(part.cluster)),
    )


def count_words(table: pa.Table, plan: Plan) -> list[Counter[str]]:
    """Word counts of the training captions of each cluster; words of its most typical rows come first.

    Held-out captions are secret and not counted.
    """
    from paris.experts.frozen.text_vocabulary import split_words

    counts, captions = [], table.select(["caption", "more_captions"])
    for part in plan.clusters:
        counter: Counter[str] = Counter()
        for start in range(0, len(part.typical), _CREDIT_ROWS):
            for row in rows_at(captions, part.typical[start : start + _CREDIT_ROWS]).to_pylist():
                counter.update(split_words(f"{row['caption']} {row['more_captions']}"))
        counts.append(counter)
    return counts


def write_words(counts: list[Counter[str]], max_words: int, path: Path) -> str:
    """Write vocab.json: the most frequent words of all training captions; returns its digest."""
    from paris.experts.frozen.text_vocabulary import write_vocabulary

    total: Counter[str] = sum(counts, Counter())
    ranked = sorted(total, key=lambda word: (-total[word], word))
    return write_vocabulary(path, ranked[:max_words])


def write_attribution(table: pa.Table, plan: Plan, path: Path) -> None:
    """Write author, licence and origin of each published picture, in the order of the shards."""
    schema = pa.schema([("cluster", pa.int32()), *((name, pa.string()) for name in _CREDITS)])
    with whole_file(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for part in plan.clusters:
            for start in range(0, len(part.training), _CREDIT_ROWS):
                rows = rows_at(table.select(list(_CREDITS)), part.training[start : start + _CREDIT_ROWS])
                cluster = pa.array([part.cluster] * rows.num_rows, pa.int32())
                writer.write_table(rows.add_column(0, "cluster", cluster).cast(schema))


def write_card(info: SourceInfo, num_rows: int, config: PrepareConfig, out_dir: Path) -> None:
    """Write the data repo's card, with licences and credit line; reads `attribution.parquet`."""
    attribution = out_dir / "attribution.parquet"
    pictures = "captioned pictures" if config.captions else "pictures"
    lines = [
        "---",
        *("license:", *(f"- {name}" for name in card_licences(attribution))),
        "---",
        f"# {info.name}: {num_rows} {pictures} in {config.num_clusters} clusters",
        "",
        f"{config.image_size}x{config.image_size} pixels, stored as {config.codec.get('kind', 'pixels')}; split by "
        f"{public_name(config.embedder)} features. Prepared by paris-coord; `attribution.parquet` names the source, "
        "author and licence of every row, and who wrote its caption.",
        "",
        *licence_table(attribution),
        "",
        info.attribution,
    ]
    write_whole(out_dir / "README.md", ("\n".join(lines).rstrip() + "\n").encode("utf-8"))
