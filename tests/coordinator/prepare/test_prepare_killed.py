"""Preparations killed with SIGKILL, in either pass over the pictures: what is finished stays, one part is redone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

from paris.coordinator.prepare import Prepared, prepare, prepare_config
from paris.coordinator.prepare.errors import NotPreparedError
from paris.coordinator.prepare.prepared import load_prepared

NAMES = (
    *("red heart", "blue heart", "green heart", "taxi", "bus", "tractor", "police car", "fire engine"),
    *("winking face", "nerd face", "zany face", "thinking face", "dog face", "cat face", "fox", "panda"),
)
PART_ROWS = 4


def prepare_in_small_parts(
    out_dir: Path, kill_stage: str | None = None, kill_at: int = 0, kept: dict[Path, int] | None = None
) -> None:
    """Prepare 16 pictures in parts of 4 rows; killed as soon as `kill_at` rows of a stage are done.

    Args:
        kept: Receives the files and their times when nothing is left but to describe them.
    """
    from paris.coordinator.prepare.selecting import embedding
    from paris.coordinator.prepare.writing import encoding

    def progress(stage: str, done: int, total: int) -> None:
        if stage == kill_stage and done >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if stage == "describe" and not done and kept is not None:
            kept.update(stamps(out_dir))

    source = {"kind": "twemoji", "names": NAMES, "heldout_names": ()}
    settings = {"source": source, "num_clusters": 2, "heldout_rows": 2, "rows_per_shard": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "_PART_ROWS", PART_ROWS)
        patch.setattr(encoding, "_PART_ROWS", PART_ROWS)
        prepare(prepare_config(settings), out_dir, progress)


def stamps(folder: Path) -> dict[Path, int]:
    """Parts of either pass and shards, with their times of change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("[psc]*-*[0-9].*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    out = tmp_path_factory.mktemp("whole")
    prepare_in_small_parts(out)
    return load_prepared(out)


@pytest.mark.parametrize(
    ("stage", "kill_at", "pattern", "least"),
    [("embed", 9, "part-*.parquet", 2), ("encode", 9, "part-*.bin", 2), ("shards", 7, "[sc]*-*[0-9].parquet", 3)],
)
def test_one_part_at_most_is_done_again(
    whole: Prepared, tmp_path: Path, stage: str, kill_at: int, pattern: str, least: int
) -> None:
    child = multiprocessing.get_context("spawn").Process(target=prepare_in_small_parts, args=(tmp_path, stage, kill_at))
    child.start()
    child.join(DEADLINE_S)
    assert child.exitcode == -signal.SIGKILL
    with pytest.raises(NotPreparedError, match=r"prepared\.json is missing"):
        load_prepared(tmp_path)
    finished = stamps(tmp_path)
    assert len([path for path in finished if path.match(pattern)]) >= least
    kept: dict[Path, int] = {}
    prepare_in_small_parts(tmp_path, kept=kept)
    assert {path: kept[path] for path in finished} == finished
    assert len(kept) > len(finished)
    assert [c.manifest_sha256 for c in load_prepared(tmp_path).clusters] == [c.manifest_sha256 for c in whole.clusters]
    assert sorted(path.name for path in (tmp_path / ".prepare").iterdir()) == ["key", "lock"]
