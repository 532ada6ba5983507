"""Captions under other names, of other files, and classes as captions."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from picture_piles import pile, png
from source_files import put, rows, settings, tar_of

from paris.coordinator.prepare import prepare, prepare_config
from paris.coordinator.prepare.errors import EmptySourceError
from paris.coordinator.prepare.sources.settings import FolderSource, ParquetSource, WebdatasetSource
from paris.experts.data.shards import ShardFile

PICTURE = png("disc", 1)


def test_captions_under_another_name_are_named_and_can_be_taken(tmp_path: Path) -> None:
    members = {
        f"{p.name}.{end}": p.data if end == "png" else json.dumps({"prompt": p.caption, "seed": 3})
        for p in pile(2)
        for end in ("png", "json")
    }
    source = {"kind": "webdataset", "path": str(tar_of(tmp_path / "0.tar", members))}
    with pytest.raises(EmptySourceError, match=r"its fields: prompt, seed\. Set caption_column"):
        prepare(prepare_config(settings(source)), tmp_path / "data")
    source["caption_column"] = "Prompt"
    made = prepare(prepare_config(settings(source)), tmp_path / "data")
    assert made.num_rows + made.clusters[0].heldout_rows == 4
    put(tmp_path / "pile", {"a.png": PICTURE, "a.json": '{"Long Prompt": "a disc", "text": "no"}', "b.png": PICTURE})
    put(tmp_path / "pile", {"metadata.csv": "file_name,long-prompt\nb.png,another\n"})
    taken, _ = rows(FolderSource(path=tmp_path / "pile", caption_column="long_prompt"))
    assert taken == {"a.png": "a disc", "b.png": "another"}


def test_texts_beside_pictures_may_be_named_caption(tmp_path: Path) -> None:
    files = {"a.png": PICTURE, "a.caption": "a disc", "b.png": PICTURE, "b.png.TXT": "another", "b.txt": "not this"}
    assert rows(FolderSource(path=put(tmp_path, files))) == ({"a.png": "a disc", "b.png": "not this"}, {})


def test_classes_are_captions_if_asked_for(tmp_path: Path) -> None:
    put(
        tmp_path / "pile",
        {"red_disc/a.png": PICTURE, "red_disc/b.png": PICTURE, "red_disc/b.txt": "own", "c.png": PICTURE},
    )
    expected = {"red_disc/a.png": "red disc", "red_disc/b.png": "own", "c.png": ""}
    assert rows(FolderSource(path=tmp_path / "pile", class_captions=True))[0] == expected
    assert rows(FolderSource(path=tmp_path / "pile"))[0]["red_disc/a.png"] == ""
    tar = tar_of(tmp_path / "0.tar", {"1.png": PICTURE, "1.cls": "disc\n"})
    assert rows(WebdatasetSource(path=tar, class_captions=True))[0] == {"0.tar/1": "disc"}
    features = {"label": {"names": ["disc", "block"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    table = pa.table({"image": [PICTURE] * 3, "label": [1, 0, -1]})
    hub = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": hub}), tmp_path / "a.parquet")
    table = tmp_path / "a.parquet"
    named = {"a.parquet/0": "block", "a.parquet/1": "disc", "a.parquet/2": ""}
    assert rows(ParquetSource(path=table, class_captions=True))[0] == named
    assert rows(ParquetSource(path=table, caption_column="label"))[0] == named
    assert set(rows(ParquetSource(path=table))[0].values()) == {""}


@pytest.mark.parametrize("form", ["folder", "webdataset", "parquet"])
def test_a_list_of_captions_is_one_row_with_all_of_them(tmp_path: Path, form: str) -> None:
    texts = {picture.name: [picture.caption, "  one\nmore ", "", picture.caption, "a third"] for picture in pile(2)}
    files = {f"{p.name}.png": p.data for p in pile(2)}
    source: dict[str, object] = {"kind": form, "path": str(tmp_path / "pile")}
    if form == "folder":
        lines = [json.dumps({"file_name": f"{name}.png", "captions": texts[name]}) for name in texts]
        put(tmp_path / "pile", {**files, "metadata.jsonl": "\n".join(lines)})
    elif form == "webdataset":
        files |= {f"{name}.json": json.dumps({"text": texts[name]}) for name in texts}
        (tmp_path / "pile").mkdir()
        tar_of(tmp_path / "pile" / "0.tar", dict(sorted(files.items())))
    else:
        (tmp_path / "pile").mkdir()
        table = pa.table({"image": [p.data for p in pile(2)], "caption": list(texts.values())})
        pq.write_table(table, tmp_path / "pile" / "a.parquet")
    prepare(prepare_config(settings(source)), tmp_path / "data")
    found = [c for path in (tmp_path / "data").rglob("cluster-*/*.parquet") for c in ShardFile(path).all_captions]
    found += [c for path in (tmp_path / "data" / "heldout").iterdir() for c in ShardFile(path).all_captions]
    assert sorted(found) == sorted([own[0], "one more", "a third"] for own in texts.values())
    assert "third" in json.loads((tmp_path / "data" / "vocab.json").read_text())
