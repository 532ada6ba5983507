"""What a survey sees in small sources on disk."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from picture_piles import WRITERS, pile, png
from PIL import Image

from paris.coordinator.prepare.errors import EmptySourceError, SourceFormatError, SourceMissingError
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources import read_source
from paris.coordinator.prepare.sources.row_bytes import RowBytes
from paris.coordinator.prepare.sources.settings import FolderSource, HubSource, ParquetSource
from paris.coordinator.proposal.detecting import Hints, detect
from paris.coordinator.proposal.looking import RowSample, within_budget
from paris.coordinator.proposal.option_words import as_options
from paris.coordinator.proposal.survey import survey
from paris.coordinator.proposal.texts import language_of


def put(folder: Path, *names: str, side: int = 32) -> Path:
    """Different pictures under these names."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png("blocks", number, (side, side)))
    return folder


@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_kind_of_source_is_recognised_and_counted(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / "pile", pile())
    seen = survey(str(tmp_path / "pile"))
    assert seen.source.kind == kind
    assert (seen.rows, seen.captions.own, seen.captions.distinct) == (10, 10, 10)
    assert seen.licences == {"cc-by-4.0": 5, "cc0-1.0": 5}
    assert (seen.pictures.sampled, set(seen.pictures.sides)) == (10, {64})
    assert seen.pictures.aspects[0] == 80 / 64
    assert seen.captions.words_longest == 4


def test_folders_are_classes_where_there_are_no_captions(tmp_path: Path) -> None:
    seen = survey(str(put(tmp_path, "big cat/1.png", "big cat/2.png", "dog/deep/fox/3.png")))
    assert (seen.captions.own, seen.captions.classes_only) == (0, 3)
    assert seen.captions.class_names == {"big cat": 2, "fox": 1}
    assert isinstance(seen.source, FolderSource)
    assert not seen.source.class_captions  # a proposal decides that


def test_the_likeliest_field_is_taken_for_captions_without_a_usual_name(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    lines = ["file_name,width,prompt", '1.png,32,"a dog, sitting"', "2.png,32,a cat"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    seen = survey(str(tmp_path))
    assert seen.source.caption_column == "prompt"
    assert seen.captions.examples == ("a dog, sitting", "a cat")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.png,3\n2.png,7")
    seen = survey(str(tmp_path))  # numbers are no captions
    assert (seen.source.caption_column, seen.captions.own) == (None, 0)
    assert "label" in seen.captions.fields_seen


@pytest.mark.parametrize("kind", ["folder", "webdataset"])
def test_a_named_field_that_no_row_has_is_refused(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / "pile", pile(1))
    with pytest.raises(SourceFormatError, match=r"No picture has a field 'nosuch'; their fields: .*caption") as error:
        survey(str(tmp_path / "pile"), hints=Hints(caption_column="nosuch"))
    assert error.value.next_step == "Give one of them as --captions NAME."
    assert survey(str(tmp_path / "pile"), hints=Hints(caption_column="Artist")).captions.own == 2


def test_before_there_is_a_run_toml_errors_name_options(tmp_path: Path) -> None:
    WRITERS["parquet"](tmp_path / "rows", pile(1))
    with pytest.raises(SourceFormatError) as error:
        survey(str(tmp_path / "rows"), hints=Hints(image_column="no"))
    assert error.value.next_step == "Give --image-column a column of bytes, or of structs with a field bytes."
    steps = {
        "Set revision in [data.source] to a branch.": "Give --revision a branch.",
        "Set caption_column in [data.source] to the column.": "Give --captions the column.",
        "Check endpoint in [data.source]; once": "Check the address, or HF_ENDPOINT; once",
        "Check repo and endpoint in [data.source], and": "Check the name or address, HF_ENDPOINT, and",
    }
    assert [as_options(step) for step in steps] == list(steps.values())


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    with pytest.raises(EmptySourceError, match=r"No file of .* matches --include '\*\.jpg'\."):
        survey(str(tmp_path), hints=Hints(include=("*.jpg",)))


def test_copies_faults_and_opt_outs_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "4.png").write_bytes((tmp_path / "1.png").read_bytes())
    with Image.open(tmp_path / "2.png") as picture:
        picture.resize((40, 40)).save(tmp_path / "5.png")
    (tmp_path / "6.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "3.json").write_text(json.dumps({"caption": "x", "noai": True}))
    seen = survey(str(tmp_path))
    pictures = seen.pictures
    assert (seen.rows, seen.opted_out, pictures.sampled) == (5, 1, 5)
    assert (pictures.duplicates, pictures.near_duplicates) == (1, 1)
    assert pictures.faults == {"unreadable picture": 1}
    assert pictures.usable == 3


def test_pictures_of_any_mode_and_name_are_looked_at(tmp_path: Path) -> None:
    for number, (mode, name) in enumerate(
        [("L", "ü/日本.png"), ("P", "a b.gif"), ("CMYK", "c.jpg"), ("RGBA", "no-end")]
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (20 + number, 30, 3), np.uint8)
        form = {"P": "GIF", "CMYK": "JPEG"}.get(mode, "PNG")
        Image.fromarray(noise).convert(mode).save(path, form)
    pictures = survey(str(tmp_path)).pictures
    assert pictures.sides == (20, 21, 22, 23)
    assert set(pictures.formats) == {"PNG L", "GIF P", "JPEG CMYK", "PNG RGBA"}


def test_only_the_training_split_of_a_folder_is_read(tmp_path: Path) -> None:
    names = [f"{split}/{kind}/{n}.png" for split in ("train", "test") for kind in ("cat", "dog") for n in range(2)]
    put(tmp_path, *names)
    seen = survey(str(tmp_path))
    assert (seen.source.include, seen.rows, seen.splits) == (("train/*",), 4, {"train": 4, "test": 4})
    assert survey(str(tmp_path), hints=Hints(split="test")).source.include == ("test/*",)
    with pytest.raises(SourceFormatError, match="no split 'dev': its splits are test, train"):
        survey(str(tmp_path), hints=Hints(split="dev"))


def test_later_shards_of_a_split_are_included_too(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        WRITERS["parquet"](tmp_path / name, pile(1))
        (tmp_path / name / "train-00000.parquet").rename(tmp_path / f"{name}.parquet")
        (tmp_path / name).rmdir()
    assert detect(str(tmp_path)).source.include == ("train-*",)


def test_classes_named_like_splits_are_no_splits(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "plane/2.png", "test/3.png")
    assert survey(str(tmp_path)).rows == 3


def test_the_kind_with_the_most_bytes_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    WRITERS["parquet"](tmp_path / "rows", pile())
    found = detect(str(tmp_path))
    assert isinstance(found.source, ParquetSource)
    assert found.notes == ("1 Parquet file is read, 1 picture is not; --include chooses.",)
    assert isinstance(detect(str(tmp_path), Hints(include=("*.png",))).source, FolderSource)


def test_a_place_that_is_no_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "zipped").mkdir()
    (tmp_path / "zipped" / "all.zip").write_bytes(b"PK")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").write_text("words")
    with pytest.raises(EmptySourceError, match="is empty"):
        survey(str(tmp_path / "empty"))
    with pytest.raises(SourceFormatError, match=r"holds no picture, but the archive all\.zip"):
        survey(str(tmp_path / "zipped"))
    with pytest.raises(EmptySourceError, match="contains no picture"):
        survey(str(tmp_path / "texts"))
    with pytest.raises(SourceMissingError, match="There is no folder or file"):
        survey(str(tmp_path / "missing"))


def test_names_and_addresses_of_data_sets_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.test")
    near = detect("lab/photos").source
    far = detect("https://hub.example.org/datasets/lab/photos/tree/v1").source
    assert isinstance(near, HubSource)
    assert isinstance(far, HubSource)
    assert (near.endpoint, near.repo, near.revision) == ("http://hub.test", "lab/photos", "main")
    assert (far.endpoint, far.repo, far.revision) == ("https://hub.example.org", "lab/photos", "v1")


def test_the_sample_is_bounded_spread_and_the_same_each_time() -> None:
    def drawn() -> list[str]:
        sample = RowSample(FolderSource(path=Path("/x")), 50)
        for number in range(5000):
            sample.add(Item(f"{number:04d}", "", "", "", "", "", "", ""))
        return [item.row_id for item in sample.rows()]

    rows = drawn()
    assert rows == sorted(rows) == drawn()
    assert len(rows) == 50
    assert 1500 < np.mean([int(row) for row in rows]) < 3500


def test_rows_of_tables_are_drawn_in_blocks(tmp_path: Path) -> None:
    sample = RowSample(ParquetSource(path=tmp_path), 64)
    for number in range(1000):
        sample.add(Item(str(number), "", "", "", "", "", "", ""))
    numbers = [int(item.row_id) for item in sample.rows()]
    assert len(numbers) <= 64
    assert len({number // 32 for number in numbers}) == 2


def test_large_row_groups_make_the_sample_smaller(tmp_path: Path) -> None:
    WRITERS["parquet"](tmp_path / "rows", pile(20))  # row groups of three
    source = ParquetSource(path=tmp_path)
    rows = [row for row in read_source(source) if isinstance(row, Item)]
    reader = RowBytes(None)
    size = reader.row_group(rows[0].location)[1]  # type: ignore[index]
    few = within_budget(rows, reader, 3 * size)
    assert 3 <= len(few) <= 12
    assert few == [row for row in rows if row in few] == within_budget(rows, reader, 3 * size)
    assert len(within_budget(rows, reader, 0)) in (1, 3)
    assert within_budget(rows, reader, 2**30) == rows


def test_a_table_with_two_columns_of_pictures_is_refused_until_one_is_named(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(file, "PNG")
    pq.write_table(pa.table({"a": [file.getvalue()], "b": [b"x"], "text": ["red"]}), tmp_path / "x.parquet")
    with pytest.raises(SourceFormatError, match="no column 'image'"):
        survey(str(tmp_path))
    assert survey(str(tmp_path), hints=Hints(image_column="a")).rows == 1


@pytest.mark.parametrize(
    ("captions", "language"),
    [
        (["a red heart on the ground", "two cats and a dog in the sun"], "English"),
        (["ein rotes Herz", "zwei Katzen und ein Hund"], "Latin script"),
        (["красное сердце", "две кошки"], "Cyrillic script"),
        (["赤いハート", "犬"], "Chinese or Japanese"),
        (["a dog", "собака", "犬犬"], "several scripts"),
        (["12", "?"], ""),
    ],
)
def test_the_language_is_told_as_far_as_the_letters_tell(captions: list[str], language: str) -> None:
    assert language_of(captions) == language
