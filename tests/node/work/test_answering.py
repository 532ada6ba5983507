"""A real node gives the snapshots that it is asked for, also after a restart, and says if they are gone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def snapshots(home: Path) -> Path:
    (found,) = home.glob("runs/*/expert-0-1/work/snapshots")
    return found


def test_a_node_answers_a_challenge_once_and_says_when_a_snapshot_is_gone(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(20)
    coordinator.is_judging, coordinator.asks = False, (10,)
    node = start("--name", "ada")
    answer = coordinator.wait_for_answer((10,))
    kept = snapshots(tmp_path / "home") / "step-00000010"
    names = ["weights.safetensors", "ema.safetensors", "optimizer.safetensors"]
    assert [file.path.rpartition("/")[2] for file in answer.files] == names
    for file, name in zip(answer.files, names, strict=True):
        on_hub = coordinator.api.hf_hub_download(
            "org/model", file.path, revision=answer.commit, cache_dir=tmp_path / "c"
        )
        assert Path(on_hub).read_bytes() == (kept / name).read_bytes()
        assert hashlib.sha256((kept / name).read_bytes()).hexdigest() == file.sha256
    node.kill()

    coordinator.answers.clear()
    node = start("--name", "ada")
    assert coordinator.wait_for_answer((10,)).commit == answer.commit, "found again, not uploaded again"
    shutil.rmtree(snapshots(tmp_path / "home") / "step-00000020")
    coordinator.asks = (20,)
    gone = node.wait_for("note")
    while "gone" not in gone["text"]:
        gone = node.wait_for("note")
    assert "asks for the state at step 20" in gone["text"]
    coordinator.asks, coordinator.is_judging = (), True
    assert node.wait_for("verdict")["accepted"]
