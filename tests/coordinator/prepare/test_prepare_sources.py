"""Sources in every form give the same rows, and a form that cannot be read is named before anything is written."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from picture_piles import WRITERS, pile, png, said, tar_bytes, write_folder, write_tables, write_tars

from paris.coordinator.prepare import Prepared, prepare, prepare_config
from paris.coordinator.prepare.compute.engine import daft
from paris.coordinator.prepare.errors import (
    EmptySourceError,
    SourceFormatError,
    SourceMissingError,
    SourceUnreachableError,
)
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources import read_source
from paris.coordinator.prepare.sources.metadata import read_metadata
from paris.coordinator.prepare.sources.reading import with_bytes
from paris.coordinator.prepare.sources.row_groups import RowGroups
from paris.coordinator.prepare.sources.settings import FolderSource, ParquetSource, WebdatasetSource
from paris.coordinator.prepare.sources.tables import read_tables
from paris.coordinator.prepare.sources.tree import FolderTree
from paris.experts.data.shards import ShardFile

NAMES = [picture.name for picture in pile()]


def settings(source: dict[str, object], **other: object) -> dict[str, object]:
    sizes = {"num_clusters": 2, "heldout_rows": 1, "rows_per_shard": 100, "image_size": 16, "view_px": 32}
    return {"source": source, **sizes, **other}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Prepared]]:
    made = {}
    for kind, write in WRITERS.items():
        root = tmp_path_factory.mktemp(kind)
        write(root / "pile", pile())
        source = {"kind": kind, "path": str(root / "pile"), "name": "a pile"}
        made[kind] = (root / "data", prepare(prepare_config(settings(source)), root / "data"))
    return made


def files_of(data: Path) -> list[ShardFile]:
    return [ShardFile(path) for folder in ("shards", "heldout") for path in (data / folder).rglob("*.parquet")]


@pytest.mark.parametrize("kind", list(WRITERS))
def test_the_same_pile_in_any_form_gives_the_same_rights(prepared: dict[str, tuple[Path, Prepared]], kind: str) -> None:
    data, result = prepared[kind]
    rows = {}
    for file in files_of(data):
        for place, caption in enumerate(file.captions):
            rows[caption] = tuple(file.texts(name)[place] for name in ("author", "licence", "url", "source"))
    licences = {"Ada": "cc-by-4.0", "Ben": "cc0-1.0"}
    assert rows == {p.caption: (p.author, licences[p.author], said(p)["url"], "a pile") for p in pile()}
    assert result.dropped == {}
    card = (data / "README.md").read_text()
    assert "license:\n- cc-by-4.0\n- cc0-1.0\n---" in card
    assert "| cc-by-4.0 | 4 |" in card


def test_no_form_of_a_source_changes_what_a_row_stores(prepared: dict[str, tuple[Path, Prepared]]) -> None:
    stored = [
        {text: file.latents[place].tobytes() for file in files_of(data) for place, text in enumerate(file.captions)}
        for data, _ in prepared.values()
    ]
    assert len(stored[0]) == len(NAMES)
    assert stored[0] == stored[1] == stored[2]


def rows_of(source: FolderSource | WebdatasetSource | ParquetSource) -> list[Item | Dropped]:
    return list(read_source(source))


def test_a_picture_may_have_json_and_text_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png("disc", 0))
    (tmp_path / "a.json").write_text(json.dumps({"caption": "from the JSON", "photographer": "Ada", "score": {"x": 1}}))
    (tmp_path / "a.txt").write_text("from the text")
    (tmp_path / "b.png").write_bytes(png("disc", 1))
    (tmp_path / "b.txt").write_text("only a text")
    found = rows_of(FolderSource(path=tmp_path))
    assert [(row.caption, row.author, row.caption_origin) for row in found] == [
        ("from the JSON", "Ada", "sidecar"),
        ("only a text", "", "sidecar"),
    ]


def test_metadata_may_be_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png("disc", 0))
    pq.write_table(pa.table({"file_name": ["a.png"], "text": ["a disc"]}), tmp_path / "metadata.parquet")
    assert [row.caption for row in rows_of(FolderSource(path=tmp_path))] == ["a disc"]


@pytest.mark.parametrize(
    ("flag", "value", "is_out"),
    [
        ("noai", True, True),
        ("opt-out", "1", True),
        ("X-Robots-Tag", "googlebot: noimageai, nofollow", True),
        ("tdm-reservation", 1, True),
        ("X-Robots-Tag", "noindex", True),
        ("robots", "nofollow; noimageindex", True),
        ("robots", "max-image-preview:large, NOINDEX", True),
        ("robots", "noindexed, nofollow", False),
        ("noai", False, False),
        ("opt_out", "no", False),
        ("x_robots_tag", "all", False),
        ("tdm-reservation", 0.0, False),
    ],
)
@pytest.mark.parametrize("form", ["folder", "parquet"])
def test_a_row_that_opts_out_is_left_out(tmp_path: Path, form: str, flag: str, value: object, is_out: bool) -> None:
    row = {"text": "a disc", flag: value}
    if form == "folder":
        (tmp_path / "a.png").write_bytes(png("disc", 0))
        (tmp_path / "a.json").write_text(json.dumps(row))
        found = rows_of(FolderSource(path=tmp_path))
    else:
        pq.write_table(pa.Table.from_pylist([{"image": png("disc", 0), **row}]), tmp_path / "a.parquet")
        found = rows_of(ParquetSource(path=tmp_path / "a.parquet"))
    assert len(found) == 1
    assert isinstance(found[0], Dropped) == is_out
    if is_out:
        assert found[0].reason == "opted out of training"
        assert str(value) in found[0].detail


def test_rows_without_a_picture_are_told_from_rows_without_a_caption(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in (("sub/1.txt", b"no picture"), ("sub/2.jpg", b"not opened"), ("sub/2.cls", b"7")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (tmp_path / "0.tar").write_bytes(file.getvalue())
    first, second = rows_of(WebdatasetSource(path=tmp_path))
    assert first == Dropped("0.tar/sub/1", "missing file", "the tar holds its texts alone")
    assert isinstance(second, Item)
    assert (second.row_id, second.caption) == ("0.tar/sub/2", "")
    assert (tmp_path / "0.tar").read_bytes()[int(second.location.split(":")[1].split("+")[0]) :][:10] == b"not opened"


def test_include_chooses_among_the_files(tmp_path: Path) -> None:
    write_tars(tmp_path / "tars", pile())
    found = rows_of(WebdatasetSource(path=tmp_path / "tars", include=("*1.tar",)))
    assert [row.row_id.split("/")[0] for row in found] == ["00001.tar"] * 5


def test_columns_are_found_by_name_where_there_are_several(tmp_path: Path) -> None:
    rows = [{"thumb": b"small", "jpg": png("disc", 0), "alt": "a disc", "text": "not this"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(SourceFormatError, match="has no column 'image' with pictures; its columns: thumb, jpg, alt"):
        rows_of(ParquetSource(path=tmp_path))
    with pytest.raises(SourceFormatError, match="has no column 'title'"):
        rows_of(ParquetSource(path=tmp_path, image_column="jpg", caption_column="title"))
    (row,) = rows_of(ParquetSource(path=tmp_path, image_column="jpg", caption_column="alt"))
    assert row.caption == "a disc"
    assert row.location.startswith("row:0:0:jpg:file:///")


WHOLE = tar_bytes(pile(1))


@pytest.mark.parametrize("num_bytes", [0, 100, 600, 1536, len(WHOLE) // 2, WHOLE.rindex(b"blocks-0.json") - 20])
def test_a_tar_that_is_cut_off_anywhere_is_named(tmp_path: Path, num_bytes: int) -> None:
    (tmp_path / "0.tar").write_bytes(WHOLE[: min(num_bytes, WHOLE.rindex(b"blue blocks"))])
    with pytest.raises(SourceFormatError, match=r"The tar 0\.tar is cut off or broken"):
        prepare(prepare_config(settings({"kind": "webdataset", "path": str(tmp_path)})), tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == ["lock"]


def test_a_tar_that_nobody_can_read_row_by_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.tar.gz").write_bytes(b"")
    with pytest.raises(SourceFormatError, match=r"0\.tar\.gz is compressed"):
        rows_of(WebdatasetSource(path=tmp_path))
    (tmp_path / "0.tar.gz").unlink()
    one, other, _ = pile(1)[0], pile(1)[1], pile(1)
    (tmp_path / "0.tar").write_bytes(tar_bytes([one, other, one]))
    *_, again = rows_of(WebdatasetSource(path=tmp_path))
    assert again == Dropped("0.tar/disc-0", "same key as an earlier row")


def test_a_parquet_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    write_tables(tmp_path / "tables", pile())
    (path,) = (tmp_path / "tables").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceFormatError, match=r"train-00000\.parquet cannot be read"):
        rows_of(ParquetSource(path=tmp_path / "tables"))


def test_missing_and_empty_sources_are_named(tmp_path: Path) -> None:
    for source in (WebdatasetSource(path=tmp_path / "gone"), ParquetSource(path=tmp_path / "gone")):
        with pytest.raises(SourceMissingError, match="gone"):
            rows_of(source)
    with pytest.raises(EmptySourceError, match="contains no tar"):
        rows_of(WebdatasetSource(path=tmp_path))
    with pytest.raises(EmptySourceError, match="contains no Parquet file"):
        rows_of(ParquetSource(path=tmp_path))


@pytest.mark.parametrize("place", ["footer", "column name", "page"])
def test_a_damaged_table_is_named_or_its_pictures_are_counted(tmp_path: Path, place: str) -> None:
    pq.write_table(pa.table({"image": [b"one", b"two"], "caption": ["a", "b"]}), tmp_path / "a.parquet")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    listed = [row.location for row in rows_of(ParquetSource(path=tmp_path)) if isinstance(row, Item)]
    if place == "page":
        data[4:20] = bytes(range(200, 216))
    elif place == "footer":
        data[-60:-8] = b"\xff" * 52
    else:
        data = data.replace(b"caption", b"\xbeaption")
    (tmp_path / "a.parquet").write_bytes(data)
    if place == "page":
        assert bytes_at(listed) == [None, None]
    else:
        with pytest.raises(SourceFormatError, match=r"a\.parquet cannot be read"):
            list(rows_of(ParquetSource(path=tmp_path)))


class GoneHub(io.BytesIO):
    """A file of a Hub that stops answering after its length is known."""

    def read(self, num_bytes: int | None = -1) -> bytes:
        raise SourceUnreachableError("The Hub does not answer.", "Run it again.")


class TreeOfGoneHub(FolderTree):
    def open(self, path: str) -> GoneHub:
        return GoneHub(super().open(path).read())


def test_a_hub_that_stops_answering_drops_no_row_and_blames_no_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"one"], "text": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"file_name": ["a.png"], "text": ["a"]}), tmp_path / "metadata.parquet")
    tree, source = TreeOfGoneHub(tmp_path), ParquetSource(path=tmp_path)
    for read in (
        lambda: list(read_tables(tree, source)),
        lambda: list(read_metadata(tree, "metadata.parquet", None)),
        lambda: RowGroups(max_bytes=100).value("a", 0, 0, "image", lambda _: pq.ParquetFile(tree.open("a.parquet"))),
    ):
        with pytest.raises(SourceUnreachableError, match="does not answer"):
            read()


def test_broken_metadata_beside_a_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png("disc", 0))
    (tmp_path / "a.json").write_text('{"caption": ')
    (row,) = rows_of(FolderSource(path=tmp_path))
    assert isinstance(row, Dropped)
    assert row.detail.startswith("a.json: not JSON: ")
    (tmp_path / "a.json").write_text("[1]")
    assert rows_of(FolderSource(path=tmp_path)) == [
        Dropped("a.png", "unreadable caption or metadata", "a.json: not a JSON object")
    ]


def test_a_link_in_a_circle_is_not_followed(tmp_path: Path) -> None:
    write_folder(tmp_path / "pile" / "inner", pile(1))
    (tmp_path / "pile" / "inner" / "up").symlink_to(tmp_path / "pile", target_is_directory=True)
    found = rows_of(FolderSource(path=tmp_path / "pile"))
    assert found[0] == Dropped("inner/up", "link to a folder that is listed already")
    assert [row.row_id for row in found[1:]] == ["inner/blocks-0.png", "inner/disc-0.png"]


def bytes_at(locations: list[str]) -> list[bytes | None]:
    frame = with_bytes(daft.from_pydict({"location": locations}), ParquetSource(path=Path()))
    return frame.to_pydict()["data"]


def test_what_is_gone_since_it_was_listed_is_read_as_nothing(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": b"one", "path": None}}, {"image": {"bytes": None, "path": "gone.png"}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a: b.parquet")
    here = tmp_path / "a: b.parquet"
    places = [row.location for row in rows_of(ParquetSource(path=here)) if isinstance(row, Item)]
    (tmp_path / "0.tar").write_bytes(b"0123456789")
    tar = f"file://{tmp_path}/0.tar"
    places += [f"bytes:2+3:{tar}", f"bytes:8+3:{tar}", f"bytes:0+1:{tar}.gone", f"row:0:0:image:file://{tmp_path}/gone"]
    assert bytes_at(places) == [b"one", None, b"234", None, None, None]


def test_more_row_groups_than_are_kept_are_read_again(tmp_path: Path) -> None:
    names = [f"{number}" * 40 for number in range(9)]
    pq.write_table(pa.table({"image": [name.encode() for name in names]}), tmp_path / "a.parquet", row_group_size=2)
    kept = RowGroups(max_bytes=100)
    read = [kept.value("a", n // 2, n % 2, "image", lambda _: pq.ParquetFile(tmp_path / "a.parquet")) for n in range(9)]
    assert read == [name.encode() for name in names]
    assert kept.value("a", 4, 1, "image", lambda _: pq.ParquetFile(tmp_path / "a.parquet")) is None
