"""Captions by real BLIP and BLIP-2 classes, tiny, from disk: only where there are none, marked, resumable."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from picture_piles import pile, write_folder
from tiny_captioners import WORDS, save_blip, save_blip2
from transformers import BertConfig

from paris.coordinator.prepare import prepare, prepare_config
from paris.coordinator.prepare.errors import CaptionerError, EmptySourceError, OutputTakenError
from paris.coordinator.prepare.rows.drops import read_dropped

SILENT = ("disc-1", "disc-2", "blocks-0", "blocks-3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("silent")
    pictures = [dataclasses.replace(p, caption=None) if p.name in SILENT else p for p in pile()]
    write_folder(root / "pile", pictures)
    save_blip(root / "blip-tiny")
    save_blip2(root / "blip2-tiny")
    save_blip(root / "mute", is_mute=True)
    return root


def settings(folder: Path, captioner: Path | str | None) -> dict[str, object]:
    source = {"kind": "folder", "path": str(folder / "pile")}
    sizes = {"num_clusters": 1, "heldout_rows": 1, "image_size": 16, "view_px": 32}
    return {"source": source, "captioner": None if captioner is None else str(captioner), **sizes}


def credits(data: Path) -> dict[str, tuple[str, str]]:
    """Caption and its origin of all rows, published or held out."""
    tables = [pq.read_table(path) for part in ("shards", "heldout") for path in (data / part).rglob("*.parquet")]
    rows = [row for table in tables for row in table.select(["row_id", "caption", "caption_origin"]).to_pylist()]
    return {Path(row["row_id"]).stem: (row["caption"], row["caption_origin"]) for row in rows}


@pytest.mark.parametrize("model", ["blip-tiny", "blip2-tiny"])
def test_a_captioner_fills_what_is_missing_and_says_so(folder: Path, tmp_path: Path, model: str) -> None:
    prepared = prepare(prepare_config(settings(folder, folder / model)), tmp_path / "data")
    assert prepared.dropped == {}
    rows = credits(tmp_path / "data")
    assert len(rows) == len(pile())
    for picture in pile():
        caption, origin = rows[picture.name]
        if picture.name in SILENT:
            assert set(caption.split()) <= set(WORDS)
            assert caption
            assert origin.startswith(f"synthetic:{model}@sha256-")
            assert str(folder) not in origin
        else:
            assert (caption, origin) == (picture.caption, "metadata")
    assert not list((tmp_path / "data" / ".prepare").glob("captions-*"))


def test_made_captions_are_not_made_again_by_the_next_call(folder: Path, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "cluster":
            raise KeyboardInterrupt

    made = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            prepare(prepare_config(settings(folder, folder / "blip-tiny")), tmp_path, stop)
        (part,) = (tmp_path / ".prepare").glob("captions-*/part-*.arrow")
        made.append(part.stat().st_mtime_ns)
    assert made[0] == made[1]
    assert not (tmp_path / "prepared.json").exists()


def test_without_a_captioner_they_are_left_out_and_another_one_makes_other_data(folder: Path, tmp_path: Path) -> None:
    prepared = prepare(prepare_config(settings(folder, None)), tmp_path)
    assert prepared.dropped == {"no caption": len(SILENT)}
    with pytest.raises(OutputTakenError, match="with other settings"):
        prepare(prepare_config(settings(folder, folder / "blip-tiny")), tmp_path)


def test_pictures_that_a_captioner_finds_no_word_for_are_left_out(folder: Path, tmp_path: Path) -> None:
    prepared = prepare(prepare_config(settings(folder, folder / "mute")), tmp_path / "data")
    listed = list(read_dropped(tmp_path / "data"))
    assert {Path(row.row_id).stem: row.detail for row in listed} == dict.fromkeys(SILENT, "the captioner finds no word")
    assert prepared.num_rows == len(pile()) - len(SILENT) - 1
    assert not set(SILENT) & set(credits(tmp_path / "data"))


def test_a_captioner_that_is_not_there_is_named_before_any_work(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptionerError, match=r"The captioner .*empty cannot be loaded"):
        prepare(prepare_config(settings(folder, tmp_path / "empty")), tmp_path / "data")
    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(CaptionerError, match="is a bert model"):
        prepare(prepare_config(settings(folder, tmp_path / "bert")), tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == ["lock"]


def test_a_pile_without_any_caption_says_what_could_be_done(folder: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "pile", [dataclasses.replace(p, caption=None) for p in pile(1)])
    with pytest.raises(EmptySourceError, match=r"2 no caption\..*or set captioner"):
        prepare(prepare_config(settings(tmp_path, None)), tmp_path / "data")
