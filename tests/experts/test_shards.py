from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_checkpoint import largest_file
from tiny_training import SHAPE, make_rows

from paris.experts.data.cluster import ClusterData, wait_for_shard
from paris.experts.data.shards import ShardFile, write_shard
from paris.experts.errors import ShardError
from paris.experts.files import DiskFullError


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_a_shard_gives_back_the_rows_that_were_written(tmp_path: Path, dtype: str) -> None:
    rows = [replace(row, latent=row.latent.astype(dtype)) for row in make_rows(5, seed=1)]
    write_shard(tmp_path / "a.parquet", rows, SHAPE, dtype)
    shard = ShardFile(tmp_path / "a.parquet")
    assert (shard.num_rows, shard.shape, shard.dtype) == (5, SHAPE, np.dtype(dtype))
    for index, row in enumerate(rows):
        np.testing.assert_array_equal(shard.latents[index], row.latent)
        assert shard.captions[index] == row.caption
    assert shard.texts("url") == [row.url for row in rows]
    assert shard.texts("caption_origin") == ["test"] * 5


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path / name, make_rows(5, seed=1), SHAPE, "uint8")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_parquet_readers_see_plain_columns(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.parquet", make_rows(2, seed=1), SHAPE, "uint8")
    table = pq.read_table(tmp_path / "a.parquet")
    assert len(table["latent"][0].as_py()) == 3 * 8 * 8
    assert table.schema.metadata[b"paris.shape"] == b"3,8,8"
    assert table.schema.metadata[b"paris.dtype"] == b"uint8"


def test_a_row_of_another_shape_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    rows = [*make_rows(2, seed=1), *make_rows(1, seed=2, shape=(3, 4, 4))]
    with pytest.raises(ShardError, match=r"Row '2-0' is uint8 \[3, 4, 4\]"):
        write_shard(tmp_path / "a.parquet", rows, SHAPE, "uint8")
    assert list(tmp_path.iterdir()) == []


def test_a_shard_without_rows_and_one_of_an_unknown_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="without rows"):
        write_shard(tmp_path / "a.parquet", [], SHAPE, "uint8")
    with pytest.raises(ShardError, match="not float64"):
        write_shard(tmp_path / "a.parquet", make_rows(1, seed=1), SHAPE, "float64")


def test_a_full_disk_leaves_the_old_shard(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(1, seed=1), SHAPE, "uint8")
    before = path.read_bytes()
    with largest_file(4096), pytest.raises(DiskFullError, match="No space left"):
        write_shard(path, make_rows(100, seed=2), SHAPE, "uint8")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_a_file_that_is_cut_off_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(4, seed=1), SHAPE, "uint8")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ShardError, match=r"a\.parquet is not a readable shard"):
        ShardFile(path)


def test_a_column_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(4, seed=1), SHAPE, "uint8")
    path.write_bytes(path.read_bytes().replace(b"caption", b"\xbeaption"))
    with pytest.raises(ShardError, match="is not a readable shard"):
        ShardFile(path)


def test_texts_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(1, seed=1), SHAPE, "uint8")
    table = pq.read_table(path)
    text = pa.array([b"\xbe"], pa.binary()).view(pa.string())
    for name in ("caption", "row_id"):
        pq.write_table(table.set_column(table.schema.get_field_index(name), name, text), path)
        with pytest.raises(ShardError, match=f"column '{name}' is not UTF-8"):
            ShardFile(path).texts(name)


@pytest.mark.parametrize("name", ["caption", "tokens"])
def test_a_column_of_another_type_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(1, seed=1), SHAPE, "uint8")
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, pa.array([7])), path)
    with pytest.raises(ShardError, match=f"column '{name}' is int64"):
        ShardFile(path)


def test_parquet_that_is_no_shard_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"latent": pa.array([b"x"])}), path)
    with pytest.raises(ShardError, match="lacks column 'row_id'"):
        ShardFile(path)


def test_a_latent_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(2, seed=1), SHAPE, "uint8")
    table = pq.read_table(path)
    short = pa.array([bytes(192), bytes(191)], pa.binary())
    pq.write_table(table.set_column(1, "latent", short), path)
    with pytest.raises(ShardError, match="192 bytes"):
        _ = ShardFile(path).latents


@pytest.mark.parametrize(
    "metadata", [{}, {"paris.shape": "3,0,8", "paris.dtype": "uint8"}, {"paris.shape": "3,8,8", "paris.dtype": "O"}]
)
def test_metadata_that_says_no_shape_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(2, seed=1), SHAPE, "uint8")
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    with pytest.raises(ShardError, match="shape and type"):
        ShardFile(path)


@pytest.mark.skipif(not hasattr(psutil.Process, "memory_maps"), reason="this system does not tell what is mapped")
def test_a_shard_is_mapped_into_memory_not_read_into_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, make_rows(3, seed=1), SHAPE, "uint8")

    def is_mapped() -> bool:
        return any(entry.path == str(path) for entry in psutil.Process().memory_maps())

    assert not is_mapped()
    shard = ShardFile(path)
    assert is_mapped()
    assert shard.num_rows == 3


def test_a_cluster_keeps_no_more_shards_decoded_than_it_may(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.parquet" for i in range(4)]
    for index, path in enumerate(paths):
        write_shard(path, make_rows(3, seed=index), SHAPE, "uint8")
    data = ClusterData(paths, max_open=2)
    rows = [(3, 1), (0, 2), (2, 0), (3, 0)]
    expected = [make_rows(3, seed=shard)[row] for shard, row in rows]
    np.testing.assert_array_equal(data.latents(rows), np.stack([row.latent for row in expected]))
    assert data.captions(rows) == [row.caption for row in expected]
    assert data.shard_rows == (3, 3, 3, 3)
    assert len(data._open) == 2


def test_a_shard_with_other_rows_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "0", make_rows(3, seed=0), SHAPE, "uint8")
    data = ClusterData.arriving(lambda index: tmp_path / str(index), [4], SHAPE)
    with pytest.raises(ShardError, match="has 3 rows, the manifest says 4"):
        data.shard(0)


def test_a_shard_whose_latents_are_not_those_of_the_run_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A file names its own shape, which would otherwise bound what it decodes to."""
    row = replace(make_rows(1, seed=0)[0], latent=np.zeros((3, 500, 500), np.uint8))
    write_shard(tmp_path / "0", [row] * 200, (3, 500, 500), "uint8")
    assert (tmp_path / "0").stat().st_size < 1 << 18
    data = ClusterData.arriving(lambda index: tmp_path / str(index), [200], SHAPE)
    with pytest.raises(ShardError, match=r"holds \[3, 500, 500\], the run \[3, "):
        data.shard(0)


def test_a_shard_that_says_that_it_is_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "0"
    row = replace(make_rows(1, seed=0)[0], caption="x" * (4 << 20))
    write_shard(path, [row], SHAPE, "uint8")
    assert path.stat().st_size < 1 << 16
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *a, **k: pytest.fail("it was decoded"))
    with pytest.raises(ShardError, match=r"'caption' is larger than \d+ bytes when decoded"):
        _ = ShardFile(path).captions


def test_shards_of_one_cluster_must_hold_the_same_shape(tmp_path: Path) -> None:
    write_shard(tmp_path / "0", make_rows(3, seed=0), SHAPE, "uint8")
    write_shard(tmp_path / "1", make_rows(3, seed=1, shape=(3, 4, 4)), (3, 4, 4), "uint8")
    data = ClusterData([tmp_path / "0", tmp_path / "1"])
    data.shard(0)
    with pytest.raises(ShardError, match=r"uint8 \[3, 4, 4\]"):
        data.shard(1)


def test_waiting_for_a_shard_ends_when_it_arrives(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    asked = []

    def arrives_when_asked_twice() -> bool:
        asked.append(1)
        if len(asked) == 2:
            write_shard(path, make_rows(3, seed=0), SHAPE, "uint8")
        return False

    assert wait_for_shard(path, arrives_when_asked_twice) == path
    assert len(asked) == 2


def test_waiting_for_a_shard_ends_when_told_to_stop(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"waiting for a\.parquet"):
        wait_for_shard(tmp_path / "a.parquet", lambda: True)


def test_a_small_file_that_decodes_to_a_large_one_is_refused(tmp_path: Path) -> None:
    """1024 rows of one caption of 64 KiB: some kilobytes of file."""
    path = tmp_path / "bomb.parquet"
    write_shard(path, make_rows(2, seed=1), SHAPE, "uint8")
    table = pq.read_table(path)
    rows = pa.concat_tables([table.slice(0, 1)] * 1024)
    captions = pa.array(["x" * (1 << 16)] * 1024)
    pq.write_table(rows.set_column(rows.schema.get_field_index("caption"), "caption", captions), path)
    assert path.stat().st_size < 1 << 18
    with pytest.raises(ShardError, match=r"'caption' is larger than \d+ bytes when decoded"):
        _ = ShardFile(path).captions
