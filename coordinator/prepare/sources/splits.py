"""The splits of a data set repo, as the Hub's `datasets` finds them, so that test rows are not trained on.

In this order: `configs` in the header of README.md; shards `data/train-00000-of-00002.parquet`; names of folders
(`train/`, `my-test/`); names of files (`train.tar`, `photos_val.parquet`). A repo that names no split is one split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import yaml

from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.metadata import METADATA
from paris.coordinator.prepare.sources.policy import OTHER_SPLIT
from paris.coordinator.prepare.sources.tree import SourceFile, Tree

_CARD = "README.md"
_MAX_CARD_BYTES = 2**20
_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_SHARD = re.compile(r"data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
_BETWEEN = re.compile(r"[-._ 0-9]+")


class SplitTree:
    """The files of one split of a repo; those of other splits are dropped.

    Args:
        tree: The repo.
        split: Name of the split.
    """

    def __init__(self, tree: Tree, split: str) -> None:
        self._tree, self._split = tree, split
        self.name = tree.name

    def files(self) -> Iterator[SourceFile | Dropped]:
        """As `Tree.files`. Metadata files outside all splits are kept: they describe pictures of all."""
        files = []
        for file in self._tree.files():
            if isinstance(file, Dropped):
                yield file
            else:
                files.append(file)
        splits = find_splits(self._tree, [file.path for file in files])
        for file in files:
            found = splits.get(file.path)
            is_shared = found is None and file.path.rpartition("/")[2] in METADATA
            if not splits or found == self._split or is_shared:
                yield file
            else:
                yield Dropped(file.path, OTHER_SPLIT, found or "")

    def open(self, path: str) -> BinaryIO:
        """As `Tree.open`."""
        return self._tree.open(path)

    def location(self, path: str) -> str:
        """As `Tree.location`."""
        return self._tree.location(path)


def find_splits(tree: Tree, paths: list[str]) -> dict[str, str]:
    """Split of each file that is in one; empty if the source names none.

    Args:
        tree: The source.
        paths: Its files.
    """
    if _CARD in paths:
        with tree.open(_CARD) as file:
            named = _by_card(file.read(_MAX_CARD_BYTES), paths)
        if named:
            return named
    data = [path for path in paths if path != _CARD]
    for rule in (_of_shard, _of_folders, _of_name):
        found = {path: split for path in data if (split := rule(path)) is not None}
        if found:
            return found
    return {}


def _by_card(card: bytes, paths: list[str]) -> dict[str, str]:
    """Splits by the `configs` of a card's header: of the one that is marked or named default, else the first."""
    header = re.match(r"\ufeff?---\r?\n(.*?)\n---", card.decode("utf-8", "replace"), re.DOTALL)
    try:
        read = yaml.safe_load(header[1]) if header else None
    except (yaml.YAMLError, RecursionError):
        return {}
    configs = [c for c in _listed(read.get("configs") if isinstance(read, dict) else None) if isinstance(c, dict)]
    if not configs:
        return {}
    is_default = [config.get("default") is True or config.get("config_name") == "default" for config in configs]
    chosen = configs[is_default.index(True) if any(is_default) else 0]
    splits: dict[str, str] = {}
    for entry in _listed(chosen.get("data_files")):
        part = entry if isinstance(entry, dict) else {"split": "train", "path": entry}
        for pattern in _listed(part.get("path")):
            matches = _glob(str(pattern)).fullmatch
            splits |= {path: str(part.get("split", "train")) for path in paths if matches(path)}
    return splits


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _glob(pattern: str) -> re.Pattern[str]:
    """A glob in which `*` stays inside a folder and `**` does not."""
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    return re.compile("".join(tokens.get(part, re.escape(part)) for part in parts))


def _of_shard(path: str) -> str | None:
    match = _SHARD.fullmatch(path)
    return match[1] if match else None


def _of_folders(path: str) -> str | None:
    return next((split for name in path.split("/")[:-1] if (split := _of_words(name)) is not None), None)


def _of_name(path: str) -> str | None:
    return _of_words(path.rpartition("/")[2])


def _of_words(name: str) -> str | None:
    return next((_WORDS[word] for word in _BETWEEN.split(name) if word in _WORDS), None)
