"""The folder source: captions in three forms, unusable pictures, digests that depend on content alone."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from paris.coordinator.prepare import Prepared, prepare, prepare_config
from paris.coordinator.prepare.errors import EmptySourceError, SourceMissingError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item, write_items
from paris.coordinator.prepare.sources import read_source
from paris.coordinator.prepare.sources.settings import FolderSource

SHAPES = [f"{shape}-{number}" for shape in ("disc", "stripes") for number in range(6)]


def draw(name: str) -> Image.Image:
    shape, number = name.split("-")
    image = Image.new("RGB", (80, 64), "white")
    pen = ImageDraw.Draw(image)
    if shape == "disc":
        pen.ellipse((18 + int(number), 8, 62, 52), fill=(200, 30 + 8 * int(number), 40))
    else:
        for x in range(0, 80, 8 + int(number)):
            pen.line((x, 0, x, 64), fill=(0, 40, 60), width=3)
    return image


def fill(folder: Path, names: list[str]) -> None:
    """Write the pictures in the given order, half with metadata, half with texts beside them; and some bad ones."""
    (folder / "more").mkdir(parents=True)
    entries = []
    for name in names:
        if name.startswith("disc"):
            draw(name).save(folder / f"{name}.png")
            entries.append({"file_name": f"{name}.png", "text": f"a red {name}", "author": "Ada"})
        else:
            draw(name).save(folder / "more" / f"{name}.jpg", quality=95)
            (folder / "more" / f"{name}.txt").write_text(f"blue\n{name} ", "utf-8")
    entries.append({"file_name": "gone.png", "text": "not there", "author": ""})
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "text", "author"])
        writer.writeheader()
        writer.writerows(entries)
    (folder / "broken.png").write_bytes((folder / "disc-0.png").read_bytes()[:60])
    (folder / "broken.txt").write_text("half a picture")
    Image.new("RGB", (9, 200)).save(folder / "thin.png")
    (folder / "thin.txt").write_text("a thin one")
    (folder / "zz copy.png").write_bytes((folder / "disc-1.png").read_bytes())
    (folder / "zz copy.txt").write_text("the same again")
    draw("disc-5").resize((40, 40)).save(folder / "silent.png")


def settings(folder: Path) -> dict[str, object]:
    source = {"kind": "folder", "path": str(folder), "licence": "cc0-1.0", "author": "nobody"}
    return {"source": source, "num_clusters": 2, "heldout_fraction": 0.2, "rows_per_shard": 100, "image_size": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "a folder, 100%"
    fill(root, SHAPES)
    return root


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def prepared(folder: Path, out: Path) -> Prepared:
    return prepare(prepare_config(settings(folder)), out)


def test_pictures_that_cannot_be_used_are_counted_by_reason(prepared: Prepared) -> None:
    assert prepared.dropped == {
        "missing file": 1,
        "no caption": 1,
        "same bytes as another picture": 1,
        "too small": 1,
        "unreadable picture": 1,
    }


def test_every_other_row_is_in_one_cluster_and_a_fifth_is_held_out(prepared: Prepared) -> None:
    assert [(cluster.rows, cluster.heldout_rows) for cluster in prepared.clusters] == [(4, 2), (4, 2)]
    assert prepared.latent_shape == (3, 16, 16)
    assert prepared.licence == "cc0-1.0"


def test_only_the_user_may_read_the_held_out_rows(prepared: Prepared, out: Path) -> None:
    folder = out / "heldout"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_order_and_time_of_the_files_change_no_digest(prepared: Prepared, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    fill(other, list(reversed(SHAPES)))
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    again = prepare(prepare_config(settings(other)), tmp_path / "data")
    assert [c.manifest_sha256 for c in again.clusters] == [c.manifest_sha256 for c in prepared.clusters]
    assert [c.heldout_sha256 for c in again.clusters] == [c.heldout_sha256 for c in prepared.clusters]
    assert again.files == prepared.files
    credited = {row["row_id"]: row for row in pq.read_table(tmp_path / "data" / "attribution.parquet").to_pylist()}
    assert len(credited) == 8
    for row_id, row in credited.items():
        disc = row_id.startswith("disc")
        assert (row["author"], row["caption_origin"]) == (("Ada", "metadata") if disc else ("nobody", "sidecar"))
        name = Path(row_id).stem
        assert row["caption"] == (f"a red {name}" if disc else f"blue {name}")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), "red").save(path)


def test_metadata_json_lines_hold_before_a_text_beside_the_picture(tmp_path: Path) -> None:
    picture(tmp_path / "inner" / "a.png")
    (tmp_path / "inner" / "a.txt").write_text("from the text")
    line = {"file_name": "a.png", "caption": "from the metadata", "license": "mit", "score": 3, "url": None}
    (tmp_path / "inner" / "metadata.jsonl").write_text("\n" + json.dumps(line) + "\n")
    items = list(read_source(FolderSource(path=tmp_path)))
    assert [(item.row_id, item.caption, item.licence) for item in items] == [
        ("inner/a.png", "from the metadata", "mit")
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "text": "x"}\n{"file_name"', r"metadata\.jsonl, line 2: not JSON"),
        ("metadata.jsonl", '{"text": "x"}', "line 1: no file_name"),
        ("metadata.csv", "name,text\na.png,x\n", "line 2: no file_name"),
        (
            "metadata.csv",
            "file_name,text\n../../etc/passwd,x\n",
            "line 2: file_name '../../etc/passwd' is outside the folder",
        ),
    ],
)
def test_bad_metadata_is_named_with_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / name).write_text(text)
    (bad,) = [row for row in read_source(FolderSource(path=tmp_path)) if isinstance(row, Dropped)]
    assert bad.reason == "unreadable caption or metadata"
    assert re.search(message, f"{bad.row_id}: {bad.detail}")


def test_a_caption_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (bad,) = read_source(FolderSource(path=tmp_path))
    assert bad == Dropped("a.png", "unreadable caption or metadata", "a.txt: not UTF-8: byte 0xe9")


def test_missing_empty_and_silent_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="There is no folder"):
        list(read_source(FolderSource(path=tmp_path / "nowhere")))
    with pytest.raises(EmptySourceError, match="contains no picture"):
        list(read_source(FolderSource(path=tmp_path)))
    picture(tmp_path / "pictures" / "a.png")
    with pytest.raises(EmptySourceError, match=r"can be used: 1 no caption\. Put a \.txt file .* or set captioner"):
        prepare(prepare_config(settings(tmp_path / "pictures")), tmp_path / "data")


def test_the_choice_of_max_images_follows_the_seed_and_keeps_the_order(tmp_path: Path) -> None:
    items = [Item(f"{n}", f"file:///{n}", "x", "s", "", "", "cc0", "sidecar") for n in range(9)]

    def chosen(seed: int) -> list[str]:
        return write_items(iter(items), tmp_path / f"{seed}.arrow", max_images=4, seed=seed)["row_id"].to_pylist()

    assert chosen(1) == chosen(1) == sorted(chosen(1))
    assert len(chosen(1)) == 4
    assert chosen(1) != chosen(2)
