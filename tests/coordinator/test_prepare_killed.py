"""Preparations killed with SIGKILL, in either pass over the pictures: what is finished stays, one part is redone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from paris.coordinator.prepare import Prepared, prepare, prepare_config
from paris.coordinator.prepare.errors import NotPreparedError
from paris.coordinator.prepare.prepared import load_prepared

NAMES = (
    *("red heart", "blue heart", "green heart", "taxi", "bus", "tractor", "police car", "fire engine"),
    *("winking face", "nerd face", "zany face", "thinking face", "dog face", "cat face", "fox", "panda"),
)
PART_ROWS = 4


def prepare_in_small_parts(out_dir: Path, kill_stage: str | None = None, kill_at: int = 0) -> None:
    """Prepare 16 pictures in parts of 4 rows; killed as soon as `kill_at` rows of a stage are done."""
    from paris.coordinator.prepare import embedding, encoding

    def progress(stage: str, done: int, total: int) -> None:
        if stage == kill_stage and done >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    source = {"kind": "twemoji", "names": NAMES, "heldout_names": ()}
    settings = {"source": source, "num_clusters": 2, "heldout_rows": 2, "rows_per_shard": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "_PART_ROWS", PART_ROWS)
        patch.setattr(encoding, "_GROUP_ROWS", PART_ROWS)
        prepare(prepare_config(settings), out_dir, progress)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    out = tmp_path_factory.mktemp("whole")
    prepare_in_small_parts(out)
    return load_prepared(out)


def stamps(folder: Path, pattern: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob(pattern)}


@pytest.mark.parametrize(
    ("stage", "kill_at", "pattern"), [("embed", 9, "part-*.parquet"), ("encode", 7, "[sc]*[0-9].parquet")]
)
def test_one_part_at_most_is_done_again(
    whole: Prepared, tmp_path: Path, stage: str, kill_at: int, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = multiprocessing.get_context("spawn").Process(target=prepare_in_small_parts, args=(tmp_path, stage, kill_at))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    with pytest.raises(NotPreparedError, match=r"prepared\.json is missing"):
        load_prepared(tmp_path)
    finished = stamps(tmp_path, pattern)
    assert sum(pq.read_metadata(path).num_rows for path in finished) >= kill_at - PART_ROWS
    # The finished parts of the first pass are removed at the end: look at them when the second begins.
    kept: dict[Path, int] = {}
    from paris.coordinator.prepare import pipeline

    really = pipeline.make_plan
    monkeypatch.setattr(
        pipeline, "make_plan", lambda *a: (kept.update(stamps(tmp_path, "part-*.parquet")), really(*a))[1]
    )
    prepare_in_small_parts(tmp_path)
    now = {**kept, **stamps(tmp_path, pattern)}
    assert {path: now[path] for path in finished} == finished
    assert [c.manifest_sha256 for c in load_prepared(tmp_path).clusters] == [c.manifest_sha256 for c in whole.clusters]
