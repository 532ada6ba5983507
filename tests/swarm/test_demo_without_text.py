"""The whole demo of a run whose experts read no text, by real processes."""

from __future__ import annotations

import json
import re

import pytest
from swarm import TINY, command

from paris.coordinator.run.directory import RunDir


@pytest.mark.long
def test_a_whole_run_without_text_is_trained_verified_released_and_sampled(tmp_path):
    """Shorter: tests/coordinator/training/test_run_without_text.py, in one process and without volunteers."""
    text = re.sub(r"(?ms)^\[text\]\n.*?\n\n", '[text]\nkind = "none"\n\n', TINY.read_text("utf-8"))
    text = re.sub(r"(?m)^(guidance_scale|prompts) = .*\n", "", text)
    recipe, out = tmp_path / "silent.toml", tmp_path / "demo"
    recipe.write_text(text, "utf-8")
    done = command(
        "paris-coord", "demo", "--recipe", str(recipe), "--out", str(out), "--volunteers", "2", timeout_s=600
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [verdict["accepted"] for verdict in report["verdicts"]] == [True, True]
    run = RunDir.open(out / "run")
    assert not any(path.name in ("vocab.json", "text_encoder") for path in (out / "volunteers").rglob("*"))
    sampled = command("paris-coord", "sample", "--model", str(run.release), "--out", str(tmp_path / "grid.png"))
    assert sampled.returncode == 0, sampled.stderr
