"""Values of odd types in metadata, odd headers in tars: read, counted or named, and never an opt-out missed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from picture_piles import png
from source_files import put, rows, tar_of

from paris.coordinator.prepare.errors import SourceFormatError
from paris.coordinator.prepare.rows.licences import normal_licence
from paris.coordinator.prepare.sources.fields import read_fields
from paris.coordinator.prepare.sources.settings import FolderSource, ParquetSource, WebdatasetSource

PICTURE = png("disc", 1)


@pytest.mark.parametrize(
    "raw",
    [
        {"robots": ["all", "noai"]},
        {"noai": ["yes"]},
        {"robots": {"noai": True, "follow": True}},
        {"opt_out": {"training": True}},
        {"robots": b"noai"},
        {"robots": "noai noimageai"},
    ],
)
def test_an_opt_out_is_heeded_as_list_table_or_bytes(raw: dict[str, Any]) -> None:
    assert read_fields(raw, "").opt_out


@pytest.mark.parametrize(
    "raw", [{"noai": [False]}, {"noai": []}, {"opt_out": {"training": False}}, {"robots": ["all"]}]
)
def test_a_list_or_table_that_denies_an_opt_out_is_none(raw: dict[str, Any]) -> None:
    assert not read_fields(raw, "").opt_out


def test_a_licence_of_an_odd_type_is_not_replaced_by_that_of_the_source() -> None:
    def named(value: object) -> str:
        return normal_licence(read_fields({"license": value}, "").licence or "cc0-1.0")

    assert [named(value) for value in (["cc-by-nc-4.0"], b"cc-by-nd", None)] == ["cc-by-nc-4.0", "cc-by-nd", "cc0-1.0"]
    assert {named(["cc-by-4.0", "cc-by-nc-4.0"]), named({"name": "cc-by-nc-4.0"})} == {"unknown"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CC BY\u2011NC 4.0", "cc-by-nc-4.0"),
        ("CC\u2010BY\u22124.0", "cc-by-4.0"),
        ("\uff23\uff23 \uff22\uff39 4.0", "cc-by-4.0"),
        ("See https://creativecommons.org/licenses/by/4.0.", "unknown"),
        ("https://creativecommons.org/licenses/by/4.0.", "cc-by-4.0"),
    ],
)
def test_hyphens_and_letters_of_other_kinds_are_read_as_plain_ones(text: str, name: str) -> None:
    assert normal_licence(text) == name


def test_control_characters_are_no_part_of_a_caption(tmp_path: Path) -> None:
    files = {"a.png": PICTURE, "a.txt": "a\0disc\x1b[31m\x07", "b.png": PICTURE, "b.txt": "\0\0"}
    assert rows(FolderSource(path=put(tmp_path, files)))[0] == {"a.png": "a disc [31m", "b.png": ""}


def test_captions_that_are_bytes_and_times_out_of_range_are_read(tmp_path: Path) -> None:
    table = {
        "image": [PICTURE, PICTURE],
        "text": pa.array([b"a disc", b"\xff"]),
        "author": pa.array([-(2**62), 2**62], pa.timestamp("us")),
        "url": pa.array([0, 0], pa.timestamp("s", "Mars/Base")),
    }
    pq.write_table(pa.table(table), tmp_path / "0.parquet")
    taken, dropped = rows(ParquetSource(path=tmp_path / "0.parquet"))
    assert taken == {"0.parquet/0": "a disc"}
    assert dropped == {"0.parquet/1": ("unreadable caption or metadata", "not UTF-8: byte 0xff")}


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "a,b"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"},
        {"size": "9" * 20},
    ],
)
def test_a_tar_with_impossible_numbers_is_named(tmp_path: Path, headers: dict[str, str]) -> None:
    with tarfile.open(tmp_path / "0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.png")
        member.size, member.pax_headers = len(PICTURE), headers
        tar.addfile(member, io.BytesIO(PICTURE))
    with pytest.raises(SourceFormatError, match=r"0\.tar is cut off or broken"):
        rows(WebdatasetSource(path=tmp_path / "0.tar"))


def test_tars_that_were_joined_are_read_to_the_last(tmp_path: Path) -> None:
    parts = [tar_of(tmp_path / name, {f"{name}.png": PICTURE, f"{name}.txt": name}).read_bytes() for name in "ab"]
    joined = tmp_path / "0.tar"
    joined.write_bytes(b"".join(parts) + b"no tar")
    (items, dropped), data = rows(WebdatasetSource(path=joined)), joined.read_bytes()
    assert (items, dropped) == ({"0.tar/a": "a", "0.tar/b": "b"}, {})
    joined.write_bytes(data[: len(parts[0]) + 600])
    with pytest.raises(SourceFormatError, match="cut off"):
        rows(WebdatasetSource(path=joined))
