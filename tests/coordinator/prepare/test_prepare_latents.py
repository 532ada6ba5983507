"""A small preparation with the real classes: DINOv2 embeds, an AutoencoderKL encodes, CLIP's tokenizer counts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_pretrained

from paris.coordinator.prepare import Prepared, prepare, prepare_config
from paris.coordinator.prepare.errors import PrepareConfigError
from paris.coordinator.prepare.prepared import read_shard_list
from paris.coordinator.prepare.writing.encoding import Stored
from paris.experts.data.shards import ShardFile
from paris.experts.errors import ExpertError
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_transformers import tokenizer_digest

NAMES = ("red heart", "blue heart", "taxi", "bus", "tractor", "police car", "winking face", "nerd face")


def settings(folder: Path, **other: object) -> dict[str, object]:
    return {
        "source": {"kind": "twemoji", "names": NAMES, "heldout_names": ()},
        "image_size": 16,
        "num_clusters": 2,
        "heldout_rows": 1,
        "embedder": str(folder / "dinov2"),
        "view_px": 28,
        "codec": {"kind": "vae", "path": "vae"},
        "tokenizer": "tokenizer",
        "max_tokens": 12,
        "vocabulary": False,
        **other,
    }


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    tiny_pretrained.write_vae(folder)
    tiny_pretrained.write_clip(folder, dim=16, max_tokens=12)
    tiny_pretrained.write_dinov2(folder)
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "data"


@pytest.fixture(scope="module")
def prepared(networks: Path, out: Path) -> Prepared:
    return prepare(prepare_config(settings(networks)), out, codec_folder=networks)


def first_shard(out: Path, prepared: Prepared, cluster: int = 0) -> Path:
    return out / read_shard_list(out / prepared.clusters[cluster].manifest)[0].path


def test_rows_are_latents_of_the_vae_and_no_text_states(networks: Path, out: Path, prepared: Prepared) -> None:
    assert (prepared.latent_shape, prepared.latent_dtype) == ((4, 8, 8), "float16")
    shard = ShardFile(first_shard(out, prepared))
    decoded = load_codec(CodecConfig(kind="vae"), networks)
    plain = prepare_config(settings(networks, codec={"kind": "pixels"}, tokenizer=""))
    pixels = prepare(plain, out.parent / "pixels")
    rows = ShardFile(first_shard(out.parent / "pixels", pixels))
    assert rows.captions == shard.captions
    np.testing.assert_allclose(decoded.encode(rows.latents), shard.latents, atol=2e-3)
    columns = pq.read_schema(first_shard(out, prepared)).names
    assert columns[:4] == ["row_id", "latent", "caption", "tokens"]


def test_token_ids_are_the_tokenizers_unpadded_and_cut(networks: Path, out: Path, prepared: Prepared) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(networks / "tokenizer")
    seen = set()
    for cluster in range(2):
        shard = ShardFile(first_shard(out, prepared, cluster))
        expected = tokenizer(shard.captions, truncation=True, max_length=12)["input_ids"]
        assert shard.tokens == expected
        assert shard.tokens_of(tokenizer_digest(networks / "tokenizer", 12)) == expected
        assert shard.tokens_of(tokenizer_digest(networks / "tokenizer", 11)) is None
        seen |= {len(tokens) for tokens in expected}
    assert max(seen) == 12
    assert len(seen) > 1


def test_shards_are_plain_parquet_with_columns_of_sane_types(out: Path, prepared: Prepared) -> None:
    schema = pq.read_schema(first_shard(out, prepared))
    assert schema.field("latent").type == pa.binary(4 * 8 * 8 * 2)
    assert schema.field("tokens").type == pa.list_(pa.field("element", pa.int32()))
    texts = {"row_id", "caption", "source", "url", "author", "licence", "caption_origin"}
    assert {field.name for field in schema if field.type == pa.string()} == texts
    file = pq.ParquetFile(first_shard(out, prepared))
    assert file.metadata.row_group(0).column(1).compression == "ZSTD"


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="the library `datasets` is not installed")
def test_the_datasets_library_reads_them(out: Path, prepared: Prepared, tmp_path: Path) -> None:
    import datasets

    path = first_shard(out, prepared)
    rows = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path))
    shard = ShardFile(path)
    assert rows["caption"][:] == shard.captions
    assert rows[0]["tokens"] == shard.tokens[0]
    assert rows[0]["latent"] == shard.latents[0].tobytes()


def test_int8_latents_take_half_the_bytes_and_stay_within_half_a_step(
    networks: Path, out: Path, prepared: Prepared
) -> None:
    codec = {"kind": "vae", "path": "vae", "store": "int8"}
    small = prepare(prepare_config(settings(networks, codec=codec)), out.parent / "int8", codec_folder=networks)
    assert small.latent_dtype == "int8"
    assert pq.read_schema(first_shard(out.parent / "int8", small)).field("latent").type == pa.binary(4 * 8 * 8)
    full, coarse = ShardFile(first_shard(out, prepared)), ShardFile(first_shard(out.parent / "int8", small))
    as_floats = load_codec(CodecConfig(kind="vae"), networks).to_model(full.latents)
    as_steps = load_codec(CodecConfig(**codec), networks).to_model(coarse.latents)
    assert float((as_floats - as_steps).abs().max()) <= 6.0 / 127 / 2 + 1e-3


def test_rows_of_a_shard_follow_from_its_bytes() -> None:
    sd = Stored((4, 32, 32), "float16")
    assert sd.shard_rows(prepare_config({})) == 64 * 2**20 // (8192 + 256)
    assert sd.shard_rows(prepare_config({"shard_bytes": 2**20})) == 2**20 // (8192 + 256)
    assert sd.shard_rows(prepare_config({"rows_per_shard": 7})) == 7
    assert Stored((3, 512, 512), "uint8").shard_rows(prepare_config({"shard_bytes": 1024})) == 1


@pytest.mark.parametrize(
    ("missing", "error"), [("vae", ExpertError), ("tokenizer", PrepareConfigError), ("dinov2", ExpertError)]
)
def test_a_network_that_is_not_there_is_named_before_anything_is_published(
    networks: Path, tmp_path: Path, missing: str, error: type[Exception]
) -> None:
    wrong: dict[str, object] = {
        "vae": {"codec": {"kind": "vae", "path": "no-vae"}},
        "tokenizer": {"tokenizer": "no-tokenizer"},
        "dinov2": {"embedder": str(networks / "no-dinov2")},
    }[missing]
    stages: list[str] = []
    with pytest.raises(error, match=f"no-{missing}"):
        prepare(
            prepare_config(settings(networks, **wrong)),
            tmp_path,
            lambda stage, done, total: stages.append(stage) if done else None,
            codec_folder=networks,
        )
    assert set(stages) <= {"list"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".prepare"]


def test_the_page_of_clusters_needs_nothing_else_and_keeps_the_secret(out: Path, prepared: Prepared) -> None:
    page = (out / "clusters.html").read_text("utf-8")
    described = json.loads((out / "clusters.json").read_bytes())
    assert described["davies_bouldin"] == pytest.approx(prepared.davies_bouldin, abs=1e-6)
    assert sum(cluster["share"] for cluster in described["clusters"]) == pytest.approx(1, abs=1e-5)
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    for cluster in range(2):
        card = page.split(f'<section id="cluster-{cluster}">')[1].split("</section>")[0]
        shard, secret = (
            ShardFile(first_shard(out, prepared, cluster)),
            ShardFile(out / prepared.clusters[cluster].heldout),
        )
        assert all(f'alt="{caption}"' in card for caption in shard.captions)
        assert not any(caption in page for caption in secret.captions)
        assert card.count("data:image/webp;base64,") >= 3 * len(shard.captions)
