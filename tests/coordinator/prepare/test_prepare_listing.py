"""Every file and row of a source is a row, or is counted with its true reason; a bad one does not end the run."""

from __future__ import annotations

import io
import os
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from picture_piles import pile, png, write_folder
from PIL import Image
from source_files import put, rows, settings, tar_of

from paris.coordinator.prepare import prepare, prepare_config
from paris.coordinator.prepare.errors import SourceFormatError
from paris.coordinator.prepare.rows.drops import read_dropped
from paris.coordinator.prepare.sources.settings import FolderSource, ParquetSource, WebdatasetSource

BAD = "unreadable caption or metadata"
HALF = "a happy disc \\ud83d"


def as_kind(kind: str) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png("disc", 0))).save(file, kind)
    return file.getvalue()


PICTURE = png("disc", 1)
IN_ALL_ENDINGS = {
    **{f"{n}.{kind.lower()}": as_kind(kind) for n, kind in enumerate(("AVIF", "PPM", "TGA", "ICO", "QOI"))},
    **{"5.jfif": as_kind("JPEG"), "6.jpe": as_kind("JPEG"), "7.jp2": as_kind("JPEG2000"), "8.PNG": PICTURE},
    **{"9.jpg_large": as_kind("JPEG"), "10.heic": as_kind("WEBP"), "11": PICTURE},
}
OTHER = {
    "12.svg": "<svg/>",
    "13.heic": b"\0\0\0\x18ftypheic" + bytes(40),
    "notes.md": "of the pile",
    "14.npy": b"\x93N",
}


def test_what_pillow_reads_is_a_row_whatever_its_ending(tmp_path: Path) -> None:
    texts = {f"{name.partition('.')[0]}.txt": name for name in {**IN_ALL_ENDINGS, "12.svg": b"", "15.png": b""}}
    taken, dropped = rows(FolderSource(path=put(tmp_path, {**IN_ALL_ENDINGS, **OTHER, **texts})))
    assert taken == {name: name for name in IN_ALL_ENDINGS}
    alone = dict.fromkeys(("12.txt", "15.txt"), ("not a picture", "no picture beside it"))
    assert dropped == {**dict.fromkeys(OTHER, ("not a picture", "")), **alone}


def test_the_same_files_in_a_tar_are_the_same_rows(tmp_path: Path) -> None:
    texts = {f"{name.partition('.')[0]}.txt": name for name in IN_ALL_ENDINGS}
    members = dict(sorted({**IN_ALL_ENDINGS, **OTHER, **texts}.items(), key=lambda item: item[0].partition(".")[0]))
    taken, dropped = rows(WebdatasetSource(path=tar_of(tmp_path / "0.tar", members)))
    assert taken == {f"0.tar/{name.partition('.')[0]}": name for name in IN_ALL_ENDINGS}
    assert dropped == {f"0.tar/{name.partition('.')[0]}": ("not a picture", name) for name in OTHER}


HIDDEN = (
    *(".ipynb_checkpoints/a-checkpoint.png", ".thumbnails/a.png", "__MACOSX/a.png", "sub/@eaDir/a.png", "._a.png"),
    *("._a.txt", ".DS_Store", "sub/Thumbs.db", "$RECYCLE.BIN/a.png"),
)


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_hidden_and_system_files_are_no_rows_and_are_counted(tmp_path: Path, form: str) -> None:
    files = {"a.png": PICTURE, "a.txt": "a disc", **dict.fromkeys(HIDDEN, b"\0")}
    if form == "folder":
        taken, dropped = rows(FolderSource(path=put(tmp_path, files)))
        assert (taken, dropped) == ({"a.png": "a disc"}, dict.fromkeys(HIDDEN, ("hidden or system file", "")))
    else:
        taken, dropped = rows(WebdatasetSource(path=tar_of(tmp_path / "0.tar", files)))
        reasons = {f"0.tar/{name}": ("hidden or system file", "") for name in HIDDEN}
        assert (taken, dropped) == ({"0.tar/a": "a disc"}, reasons)


def test_links_to_folders_are_followed_to_each_folder_once(tmp_path: Path) -> None:
    put(tmp_path / "away", {"a.png": PICTURE, "a.txt": "a disc"})
    put(tmp_path / "here", {"b.png": PICTURE, "b.txt": "another"})
    (tmp_path / "away" / "back").symlink_to(tmp_path / "here", target_is_directory=True)
    for name in ("one", "two"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "away", target_is_directory=True)
    (tmp_path / "here" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "here" / "pipe.png")
    taken, dropped = rows(FolderSource(path=tmp_path / "here"))
    assert taken == {"b.png": "another", "one/a.png": "a disc"}
    assert dropped == {
        "gone.png": ("missing file", "No such file or directory"),
        "pipe.png": ("not a picture", "a device or a pipe"),
        "two": ("link to a folder that is listed already", ""),
        "one/back": ("link to a folder that is listed already", ""),
    }


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_caption_beside_a_picture_may_be_named_in_the_other_unicode_form(tmp_path: Path, form: str) -> None:
    name, other = unicodedata.normalize(form, "café"), unicodedata.normalize("NFC" if form == "NFD" else "NFD", "café")
    put(tmp_path / "beside", {f"{name}.png": PICTURE, f"{other}.txt": "a disc"})
    assert rows(FolderSource(path=tmp_path / "beside")) == ({f"{name}.png": "a disc"}, {})
    metadata = f"file_name,text\n{other}.png,a disc\n"
    put(tmp_path / "listed", {f"{name}.png": PICTURE, "metadata.csv": metadata})
    assert rows(FolderSource(path=tmp_path / "listed")) == ({f"{name}.png": "a disc"}, {})


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_texts_that_windows_wrote_as_utf16_are_read(tmp_path: Path, encoding: str) -> None:
    texts = {
        "a.txt": "a café",
        "b.json": '{"caption": "a café"}',
        "metadata.csv": "file_name,text\r\nc.png,a café\r\n",
        "metadata.jsonl": '{"file_name": "d.png", "text": "a café"}\r\n',
    }
    put(tmp_path, {name: ("\ufeff" + text).encode(encoding) for name, text in texts.items()})
    put(tmp_path, {f"{name}.png": PICTURE for name in "abcd"})
    assert rows(FolderSource(path=tmp_path)) == ({f"{name}.png": "a café" for name in "abcd"}, {})


def test_utf16_that_is_cut_off_is_a_counted_drop(tmp_path: Path) -> None:
    listed = "\ufefffile_name,text\nb.png,a disc\n".encode("utf-16-le") + b"x"
    put(tmp_path, {"a.png": PICTURE, "a.txt": "\ufeffa disc".encode("utf-16-le") + b"x"})
    put(tmp_path, {"b.png": PICTURE, "metadata.csv": listed})
    taken, dropped = rows(FolderSource(path=tmp_path))
    assert taken == {"b.png": "a disc"}
    assert dropped == {
        "a.png": (BAD, "a.txt: not UTF-16: truncated data"),
        "metadata.csv": (BAD, "not UTF-16: truncated data"),
    }


@pytest.mark.parametrize("place", ["", "run/"])
def test_a_run_and_a_demo_inside_the_source_are_no_data(tmp_path: Path, place: str) -> None:
    put(tmp_path, {"a.png": PICTURE, "a.txt": "a disc"})
    made = {f"mine/{place}run.toml": "", f"mine/{place}keys/run.key": "", f"mine/{place}data/clusters.png": PICTURE}
    made |= {"mine/volunteers/ada/settings.toml": ""} if place else {}
    put(tmp_path, {**made, "mine/samples.png": PICTURE})
    assert rows(FolderSource(path=tmp_path)) == ({"a.png": "a disc"}, {"mine/": ("folder of a run or a demo", "")})


def test_a_run_beside_the_pictures_that_it_is_made_from_does_not_hide_them(tmp_path: Path) -> None:
    put(tmp_path, {"a.png": PICTURE, "a.txt": "a disc", "run/run.toml": "", "run/keys/run.key": ""})
    assert rows(FolderSource(path=tmp_path)) == ({"a.png": "a disc"}, {"run/": ("folder of a run or a demo", "")})


def test_a_name_that_is_not_utf8_is_counted(tmp_path: Path) -> None:
    write_folder(tmp_path / "pile", pile(2))
    (tmp_path / "pile" / os.fsdecode(b"caf\xe9.png")).write_bytes(PICTURE)
    made = prepare(prepare_config(settings({"kind": "folder", "path": str(tmp_path / "pile")})), tmp_path / "data")
    assert made.dropped == {"file name is not UTF-8": 1}
    assert [row.row_id for row in read_dropped(tmp_path / "data")] == ["caf\\udce9.png"]


DEEP = "[" * 100_000 + "]" * 100_000
BAD_LINES = {
    "half a character": ('{"file_name": "a.png", "text": "' + HALF + '"}').encode(),
    "not UTF-8: byte 0xe9": b'{"file_name": "a.png", "text": "caf\xe9"}',
    "not JSON: ": b'{"file_name": "a.png", "te',
    "nested too deeply": b'{"file_name": "a.png", "text": ' + DEEP.encode() + b"}",
    "limit": b'{"file_name": "a.png", "text": "x", "n": ' + b"9" * 5000 + b"}",
    "not a JSON object": b"[1]",
    "no file_name; its fields: name, text": b'{"name": "a.png", "text": "x"}',
    "outside the folder": b'{"file_name": "../a.png", "text": "x"}',
}


@pytest.mark.parametrize("detail", BAD_LINES)
def test_a_bad_line_of_metadata_is_dropped_and_the_others_are_rows(tmp_path: Path, detail: str) -> None:
    good = b'{"file_name": "b.png", "text": "a disc"}\r\n'
    lines = good + BAD_LINES[detail] + b"\n" + good.replace(b"b.png", b"c.png")
    put(tmp_path, {"metadata.jsonl": lines, "b.png": PICTURE, "c.png": PICTURE, "a.png": PICTURE})
    taken, dropped = rows(FolderSource(path=tmp_path))
    assert taken.pop("a.png", "") == ""
    assert taken == {"b.png": "a disc", "c.png": "a disc"}
    ((name, (reason, text)),) = dropped.items()
    assert reason == BAD
    assert detail in text
    assert "metadata.jsonl, line 2" in f"{name}: {text}"


@pytest.mark.parametrize("bad", [b"a.png," + b"x" * 200_000, b"a.png,caf\xe9", b",nothing"])
def test_a_bad_line_of_csv_is_dropped_and_the_others_are_rows(tmp_path: Path, bad: bytes) -> None:
    lines = b"\xef\xbb\xbffile_name,text\nb.png,a disc\n" + bad + b'\nc.png,"a, disc"\n'
    put(tmp_path, {"metadata.csv": lines, "b.png": PICTURE, "c.png": PICTURE})
    taken, dropped = rows(FolderSource(path=tmp_path))
    assert taken == {"b.png": "a disc", "c.png": "a, disc"}
    assert [reason for reason, _ in dropped.values()] in ([BAD], ["missing file"])


def test_bad_texts_in_a_parquet_file_are_dropped_one_by_one(tmp_path: Path) -> None:
    texts = pa.array([b"a disc", b"caf\xe9", "ein Gru\u00df".encode(), b"\xed\xa0\xbd"]).cast(pa.string(), safe=False)
    lists = pa.array([[b"Ada"], [b"Ada"], [b"\xff"], [b"Ada"]]).cast(pa.list_(pa.string()), safe=False)
    table = pa.table({"image": pa.array([PICTURE] * 4), "text": texts, "words": lists})
    pq.write_table(table, tmp_path / "a.parquet")
    taken, dropped = rows(ParquetSource(path=tmp_path))
    assert taken == {"a.parquet/0": "a disc", "a.parquet/2": "ein Gru\u00df"}
    assert dropped == {
        "a.parquet/1": (BAD, "not UTF-8: byte 0xe9"),
        "a.parquet/3": (BAD, "not UTF-8: byte 0xed"),
    }


@pytest.mark.parametrize("name", ["a.txt", "a.json"])
def test_a_bad_member_of_a_tar_costs_its_row_alone(tmp_path: Path, name: str) -> None:
    members = {"a.png": PICTURE, name: b"\xe9{", "b.png": PICTURE, "b.txt": "a disc"}
    taken, dropped = rows(WebdatasetSource(path=tar_of(tmp_path / "0.tar", members)))
    assert taken == {"0.tar/b": "a disc"}
    assert dropped["0.tar/a"][0] == BAD
    assert dropped["0.tar/a"][1].startswith(f"0.tar/{name}: not ")


def test_bad_rows_are_counted_up_to_a_share(tmp_path: Path) -> None:
    write_folder(tmp_path / "pile", pile(2))
    put(tmp_path / "pile", {"x.png": png("disc", 7), "x.txt": b"caf\xe9"})
    source = {"kind": "folder", "path": str(tmp_path / "pile")}
    assert prepare(prepare_config(settings(source)), tmp_path / "data").dropped == {BAD: 1}
    with pytest.raises(SourceFormatError, match=r"1 of 5 rows .* max_bad_share = 0.1 .* x.png: .*x.txt: not UTF-8"):
        prepare(prepare_config(settings(source, max_bad_share=0.1)), tmp_path / "other")
    assert not (tmp_path / "other" / "prepared.json").exists()


def test_keys_of_a_tar_may_hold_dots(tmp_path: Path) -> None:
    names = ("photo 1.5", "photo 1.6", "photo 2", "v1.0/photo 3.5")
    members = {f"{name}{end}": PICTURE if end == ".png" else name for name in names for end in (".png", ".txt")}
    members |= {"shot 1.1.png": PICTURE, "shot 1.2.png": PICTURE}
    taken, dropped = rows(WebdatasetSource(path=tar_of(tmp_path / "0.tar", members)))
    assert taken == {**{f"0.tar/{name}": name for name in names}, "0.tar/shot 1.1": "", "0.tar/shot 1.2": ""}
    assert dropped == {}


def test_the_second_picture_of_a_tars_row_is_counted(tmp_path: Path) -> None:
    members = {
        "1.jpg": PICTURE,
        "1.png": PICTURE,
        "1.txt": "one",
        "2.jpg": PICTURE,
        "2.seg.png": PICTURE,
        "2.txt": "two",
    }
    members |= {"3.left.jpg": PICTURE, "3.right.jpg": PICTURE, "3.txt": "three", "4.mp4": b"\0", "4.json": "{}"}
    taken, dropped = rows(WebdatasetSource(path=tar_of(tmp_path / "0.tar", members)))
    assert taken == {"0.tar/1": "one", "0.tar/2": "two", "0.tar/3.left": "three"}
    assert dropped == {
        "0.tar/1.png": ("second picture of a row", ""),
        "0.tar/2.seg": ("second picture of a row", ""),
        "0.tar/3.right": ("second picture of a row", ""),
        "0.tar/4": ("missing file", "the tar holds its texts alone"),
    }


def test_other_files_beside_tars_and_tables_are_counted(tmp_path: Path) -> None:
    tar_of(tmp_path / "0.tar", {"1.jpg": PICTURE, "1.txt": "one"})
    pq.write_table(pa.table({"image": [PICTURE], "text": ["one"]}), tmp_path / "a.parquet")
    put(tmp_path, {"README.md": "# a pile", ".gitattributes": ""})
    hidden = {".gitattributes": ("hidden or system file", "")}
    not_a_tar, not_a_table = ("not a tar", ""), ("not a Parquet file", "")
    assert rows(WebdatasetSource(path=tmp_path))[1] == {**hidden, "README.md": not_a_tar, "a.parquet": not_a_tar}
    assert rows(ParquetSource(path=tmp_path))[1] == {**hidden, "README.md": not_a_table, "0.tar": not_a_table}
