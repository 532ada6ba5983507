"""The second pass: each byte of the source is read once, rows find their shards, a full disk leaves nothing half."""

from __future__ import annotations

import resource
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from picture_piles import pile, write_tables

from paris.coordinator.prepare import load_prepared, prepare, prepare_config
from paris.coordinator.prepare.errors import NotPreparedError, PrepareError
from paris.coordinator.prepare.rows.items import rows_at
from paris.coordinator.prepare.sources import row_bytes
from paris.coordinator.prepare.writing import encoding
from paris.coordinator.prepare.writing.encoding import EncodedRows, Stored
from paris.experts.files import DiskFullError

ROWS_A_GROUP = 3


def settings(folder: Path, **other: object) -> dict[str, object]:
    source = {"kind": "parquet", "path": str(folder), "name": "a pile"}
    sizes = {"num_clusters": 2, "heldout_rows": 2, "rows_per_shard": 4, "image_size": 32, "view_px": 32}
    return {"source": source, **sizes, **other}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures in row groups of three; the clusters' rows are mixed in every one of them."""
    folder = tmp_path_factory.mktemp("tables") / "tables"
    discs, blocks = pile(10)[:10], pile(10)[10:]
    write_tables(folder, [picture for pair in zip(discs, blocks, strict=True) for picture in pair])
    return folder


def test_each_row_group_is_read_once_in_each_pass(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, Counter[int]] = {"embed": Counter(), "encode": Counter()}
    now = ["list"]
    really = pq.ParquetFile.read_row_group

    def counted(self: pq.ParquetFile, group: int, *args: Any, **named: Any) -> pa.Table:
        if now[0] in read:
            read[now[0]][group] += 1
        return really(self, group, *args, **named)

    def progress(stage: str, done: int, total: int) -> None:
        now[0] = stage

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    monkeypatch.setattr(row_bytes, "_row_groups", row_bytes.RowGroups(max_bytes=1))  # so that two are kept, no more
    monkeypatch.setattr(encoding, "_PART_ROWS", 8)  # three parts, whose ends lie within row groups
    prepare(prepare_config(settings(tables)), tmp_path, progress)
    groups = range(pq.ParquetFile(tables / "train-00000.parquet").num_row_groups)
    assert len(groups) == 7
    assert read["embed"] == Counter(groups)
    assert set(read["encode"]) <= set(groups)
    assert max(read["encode"].values()) == 1


def test_the_size_of_a_part_changes_no_file(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for rows in (8192, 3):
        monkeypatch.setattr(encoding, "_PART_ROWS", rows)
        made.append(prepare(prepare_config(settings(tables)), tmp_path / str(rows)).clusters)
    assert made[0] == made[1]


def test_a_picture_that_changes_between_the_passes_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "pile"
    folder.mkdir()
    for picture in pile():
        (folder / f"{picture.name}.png").write_bytes(picture.data)
        (folder / f"{picture.name}.txt").write_text(str(picture.caption))

    def break_one(stage: str, done: int, total: int) -> None:
        if stage == "cluster":
            (folder / "disc-3.png").write_bytes(b"no picture")

    config = prepare_config(settings(folder, source={"kind": "folder", "path": str(folder)}))
    with pytest.raises(PrepareError, match=r"disc-3\.png changed while it was prepared: unreadable picture"):
        prepare(config, tmp_path / "data", break_one)
    assert not list((tmp_path / "data").rglob("*.bin"))
    assert not (tmp_path / "data" / "shards").exists()


@pytest.mark.parametrize("full_from", ["embed", "cluster", "encode", "shards", "describe"])
def test_a_disk_that_is_full_leaves_nothing_half_published_and_is_gone_on_from(
    tables: Path, tmp_path: Path, full_from: str
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(stage: str, done: int, total: int) -> None:
        if stage == full_from:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # the system refuses what goes beyond

    config = prepare_config(settings(tables))
    try:
        with pytest.raises(DiskFullError, match="No space left to write"):
            prepare(config, tmp_path, fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(NotPreparedError):
        load_prepared(tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    assert prepare(config, tmp_path).num_rows == 16
    assert load_prepared(tmp_path, check_shards=True)
    assert sorted(path.name for path in (tmp_path / ".prepare").iterdir()) == ["key", "lock"]


@hypothesis_settings(deadline=None, max_examples=50)
@given(st.data())
def test_rows_at_are_the_rows_of_a_list_however_it_is_cut(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=5))
    starts = np.cumsum([0, *lengths])
    parts = [[f"row {n}" for n in range(*ends)] for ends in pairwise(starts)]
    table = pa.table({"name": pa.chunked_array(parts, pa.large_string())})
    places = data.draw(st.lists(st.integers(0, max(0, table.num_rows - 1)), max_size=12 if table.num_rows else 0))
    found = rows_at(table, np.asarray(places, np.int64))
    assert found["name"].to_pylist() == [f"row {place}" for place in places]
    assert found.schema == table.schema


@hypothesis_settings(deadline=None, max_examples=50)
@given(order=st.permutations(range(11)), used=st.integers(1, 11), part_rows=st.integers(1, 12), data=st.data())
def test_a_slice_holds_the_rows_of_the_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], used: int, part_rows: int, data: st.DataObject
) -> None:
    wanted = np.asarray(order[:used])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_PART_ROWS", part_rows)
        rows = EncodedRows(tmp_path_factory.mktemp("parts"), wanted, Stored((2,), "float16"))
        seen: list[int] = []
        for path, places in rows.parts():
            np.stack([places, -places], axis=1).astype(np.float16).tofile(path)
            assert len(places) <= part_rows
            assert seen == [] or min(places) > max(seen)
            seen += places.tolist()
        first = data.draw(st.integers(0, used))
        count = data.draw(st.integers(0, used - first))
        expected = wanted[first : first + count]
        assert rows.slice(first, count).tolist() == np.stack([expected, -expected], axis=1).tolist()
