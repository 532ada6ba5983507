"""Splits of a repo are those that the Hub's own `datasets` finds; test rows are counted and never trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from picture_piles import png
from source_files import put

from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.folder import read_pictures
from paris.coordinator.prepare.sources.settings import FolderSource
from paris.coordinator.prepare.sources.splits import SplitTree
from paris.coordinator.prepare.sources.tree import FolderTree

CARD = """---
license: cc0-1.0
configs:
- config_name: small
  data_files: "few.parquet"
- config_name: all
  default: true
  data_files:
  - split: train
    path: ["a/*.parquet", "deep/**/b.parquet"]
  - split: test
    path: "c.parquet"
---
# a pile
"""
SHARDS = [f"data/{name}-00000-of-00001.parquet" for name in ("train", "test", "validation", "train.extra")]
REPOS = {
    "shards": (SHARDS, SHARDS[:1]),
    "folders": (["train/a.png", "my-test/b.png", "val/c.png", "d.png"], ["train/a.png"]),
    "files": (["train.tar", "photos_train-1.tar", "photos_test.tar", "eval.tar"], ["train.tar", "photos_train-1.tar"]),
    "none": (["a.png", "sub/latest.png", "contest/b.png"], ["a.png", "sub/latest.png", "contest/b.png"]),
    "card": (
        ["a/1.parquet", "a/deep/2.parquet", "deep/b.parquet", "deep/x/b.parquet", "c.parquet", "few.parquet"],
        ["a/1.parquet", "deep/b.parquet", "deep/x/b.parquet"],
    ),
    "broken card": (["a.png"], ["a.png"]),
}


@pytest.mark.parametrize("kind", REPOS)
def test_the_training_split_is_that_of_the_hub(tmp_path: Path, kind: str) -> None:
    files, expected = REPOS[kind]
    card = CARD if kind == "card" else "---\nconfigs: [\n---\n" if kind == "broken card" else "# no header"
    put(tmp_path, {**dict.fromkeys(files, b""), "README.md": card})
    found = list(SplitTree(FolderTree(tmp_path), "train").files())
    taken = {file.path for file in found if not isinstance(file, Dropped)} - {"README.md"}
    others = {file.row_id for file in found if isinstance(file, Dropped)} - {"README.md"}
    assert taken == set(expected)
    assert others == set(files) - set(expected)
    assert {file.reason for file in found if isinstance(file, Dropped)} <= {"of another split"}


@pytest.mark.parametrize("kind", ["shards", "folders", "files", "none"])
def test_the_rules_are_those_of_the_datasets_library(tmp_path: Path, kind: str) -> None:
    data_files = pytest.importorskip("datasets.data_files")
    put(tmp_path, dict.fromkeys(REPOS[kind][0], b""))
    patterns = data_files.get_data_patterns(str(tmp_path))
    found = data_files.DataFilesDict.from_patterns(patterns, str(tmp_path))
    split = "train" if "train" in found else next(iter(found))
    assert {str(Path(path).relative_to(tmp_path)) for path in found[split]} == set(REPOS[kind][1])


def test_metadata_of_all_splits_describes_the_pictures_of_one(tmp_path: Path) -> None:
    lines = "file_name,text\ntrain/a.png,a disc\ntest/b.png,another\n"
    put(tmp_path, {"train/a.png": png("disc", 0), "test/b.png": png("disc", 1), "metadata.csv": lines})
    found = list(read_pictures(SplitTree(FolderTree(tmp_path), "train"), FolderSource(path=tmp_path)))
    assert found[0] == Dropped("test/b.png", "of another split", "test")
    assert [row.caption for row in found[1:] if not isinstance(row, Dropped)] == ["a disc"]
    assert len(found) == 2
