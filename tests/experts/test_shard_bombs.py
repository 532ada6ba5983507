"""A shard that decodes to far more than its rows allow is refused before it is decoded, whatever its footer says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_training import SHAPE, make_rows

from paris.experts.data.column_bounds import TooLargeError, rows_at_once
from paris.experts.data.page_headers import Page, read_pages
from paris.experts.data.shards import ShardFile, write_shard
from paris.experts.errors import ShardError

LARGE = 4 << 20
TOO_LARGE = r"'\w+' is larger than \d+ bytes when decoded"


@pytest.fixture(autouse=True)
def nothing_is_decoded(monkeypatch):
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *a, **k: pytest.fail("it was decoded"))


def shard_with(path: Path, column: str, values: pa.Array, **options) -> Path:
    """A shard of some rows in which one column has other values."""
    write_shard(path, make_rows(len(values), seed=1), SHAPE, "uint8")
    table = pq.read_table(path)
    at = table.schema.get_field_index(column)
    table = table.append_column(column, values) if at < 0 else table.set_column(at, column, values)
    pq.write_table(table, path, compression="zstd", **options)
    return path


def pages_of(path: Path, column: str) -> tuple[int, memoryview]:
    """Where the column's pages begin in the file, and their bytes."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema.split(".")[0] == column)
    begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    return begin, memoryview(path.read_bytes())[begin : begin + chunk.total_compressed_size]


def varint(number: int) -> bytes:
    """A number as the footer and the headers write it."""
    number, out = number << 1, bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def test_a_footer_that_lies_about_the_size_of_a_page_is_not_believed(tmp_path: Path):
    path = shard_with(tmp_path / "0", "caption", pa.array(["x" * LARGE, "y"]), use_dictionary=False)
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "caption")
    said = varint(chunk.total_uncompressed_size)
    raw = path.read_bytes()
    at = raw.rindex(said)
    lie = varint(1 << 20)
    path.write_bytes(raw[:at] + lie + raw[at + len(said) :])
    told = pq.ParquetFile(path).metadata.row_group(0)
    assert len(lie) == len(said)
    assert max(told.column(i).total_uncompressed_size for i in range(told.num_columns)) == 1 << 20
    with pytest.raises(ShardError, match=TOO_LARGE):
        _ = ShardFile(path).captions


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_numbers_that_take_no_room_in_the_file_are_counted(tmp_path: Path, version: str):
    values = pa.array([[7] * (1 << 20), [7]], pa.list_(pa.int32()))
    path = shard_with(tmp_path / "0", "tokens", values, data_page_version=version)
    assert sum(page.uncompressed_bytes for page in read_pages(pages_of(path, "tokens")[1])) < 1 << 18
    with pytest.raises(ShardError, match=TOO_LARGE):
        _ = ShardFile(path).tokens


def test_one_row_that_means_a_long_text_many_times_is_counted(tmp_path: Path):
    path = shard_with(tmp_path / "0", "more_captions", pa.array([["x" * 2**12] * 2**8, []], pa.list_(pa.string())))
    with pytest.raises(TooLargeError):
        rows_at_once(path, pq.ParquetFile(path).metadata, "more_captions", 2**18)


def test_rows_that_mean_one_long_text_are_decoded_few_at_a_time(tmp_path: Path):
    path = shard_with(tmp_path / "0", "caption", pa.array(["x" * 2**12] * 64))
    footer = pq.ParquetFile(path).metadata
    assert rows_at_once(path, footer, "caption", 2**15) in (7, 8)
    assert rows_at_once(path, footer, "licence", 2**15) == 256


def test_texts_that_are_stored_as_differences_are_refused(tmp_path: Path):
    values = pa.array([*(["x" * 2**10] * 64), "y"])
    options = {"use_dictionary": False, "column_encoding": {"caption": "DELTA_BYTE_ARRAY"}}
    with pytest.raises(ShardError, match="shards have no encoding 7"):
        _ = ShardFile(shard_with(tmp_path / "0", "caption", values, **options)).captions


@pytest.mark.parametrize("kind", [pa.string(), pa.list_(pa.binary())])
def test_more_captions_of_another_type_are_refused(tmp_path: Path, kind: pa.DataType):
    path = shard_with(tmp_path / "0", "more_captions", pa.array([None, None], kind))
    with pytest.raises(ShardError, match="'more_captions' is"):
        ShardFile(path)


def test_headers_say_what_the_writer_of_the_file_counted(tmp_path: Path):
    path = tmp_path / "0"
    write_shard(path, make_rows(300, seed=1), SHAPE, "uint8")
    for column, nbytes in (("latent", 300 * int(np.prod(SHAPE))), ("caption", 1), ("source", 1), ("tokens", 1)):
        pages = list(read_pages(pages_of(path, column)[1]))
        assert sum(page.num_values for page in pages if not page.is_dictionary) == 300
        assert sum(page.uncompressed_bytes for page in pages) >= nbytes
        assert [page.is_dictionary for page in pages] == ([True, False] if column == "source" else [False])


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x15",
        b"\x15\x00\x15\x02\x15\x02\x00",
        b"\x15\x02\x15\x02\x15\x02\x2c\x15\x02\x15\x00\x00\x00\x00",
        b"\x15\x00\x15\x01\x15\x02\x2c\x15\x02\x15\x00\x00\x00\x00",
        b"\x15\x00\x15\x02\x15\x7e\x2c\x15\x02\x15\x00\x00\x00\x00",
        b"\x15" + b"\xff" * 11,
        b"\x18\x7f",
        b"\x1c" * 99 + b"\x00" * 99,
        b"\x1b\x00\x00",
    ],
    ids=["nothing", "cut", "no values", "index", "negative", "too long", "long number", "long text", "deep", "map"],
)
def test_bytes_that_are_no_header_are_refused(header: bytes):
    if header:
        with pytest.raises(ValueError, match=r"page"):
            list(read_pages(memoryview(header)))
    else:
        assert list(read_pages(memoryview(header))) == []


def test_unknown_fields_of_a_header_are_passed_over_and_the_last_of_two_counts():
    known = b"\x15\x00\x15\x02\x15\x02\x2c\x15\x06\x15\x00\x00"
    unknown = b"\x18\x03abc" + b"\x19\x25\x02\x04" + b"\x17" + bytes(8) + b"\x11\x12\x13\x09"
    again = b"\x05\x04\x28"
    page = Page(is_dictionary=False, uncompressed_bytes=1, num_values=3, encoding=0)
    assert list(read_pages(memoryview(known + unknown + b"\x00Z"))) == [page]
    twice = list(read_pages(memoryview(known + again + b"\x00Z")))
    assert [page.uncompressed_bytes for page in twice] == [20]
