"""The benchmark of attacks, in a short form: one seed, two attacks and one honest submission; its tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

from benchmarks import attacks_report
from benchmarks.attacks_results import COLUMNS, Trials, wilson

REPO = Path(__file__).parents[3]
ASKED = ("attack: header bomb", "attack: invented loss", "honest: cluster 0, first")


def trial(name, seed, refused_by, **changes):
    return {**dict.fromkeys(COLUMNS, 0.5), "name": name, "seed": seed, "refused_by": refused_by, **changes}


def test_a_seed_is_judged_by_the_verifying_process():
    """A process, as the benchmark starts one."""
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.attacks_seed", "0"],
        input="\n".join(ASKED),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=REPO,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    found = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [(one["name"], one["refused_by"]) for one in found] == [
        (ASKED[0], "structure/header-size"),
        (ASKED[1], "skill/claimed-loss"),
        (ASKED[2], ""),
    ]
    assert all(one["judged_cpu_s"] > 0 for one in found)


def test_trials_are_kept_repeated_when_asked_and_shown_with_those_that_get_through_first(tmp_path, monkeypatch, capsys):
    kept = Trials(tmp_path / "attacks.json")
    for seed in range(4):
        kept.add(trial("attack: copy", seed, "novelty/same-file"))
        kept.add(trial("attack: half of the steps", seed, "skill/gain-of-peers" if seed else ""))
        kept.add(trial("honest: cluster 0, first", seed, ""))
        kept.add(trial("run: forged task", seed, "peers/bad-signature"))
        kept.add(trial("attack: of yesterday's catalogue", seed, ""))
    about = {"date": "2026-01-02", "machine": {"processor": "p", "cores": 2, "versions": {"torch": "2"}}}
    order = ["attack: copy", "attack: half of the steps", "honest: cluster 0, first", "run: forged task"]
    kept.save(about, order)
    again = Trials(tmp_path / "attacks.json")
    assert list(again.rows) == order
    assert again.has("attack: copy", 3)
    again.forget({"attack: copy"})
    assert not again.has("attack: copy", 3)

    seconds = dict.fromkeys(("envelope", "structure", "novelty", "skill", "replay", "imports"), 0.25)
    median = {f"{name}_cpu_s": value for name, value in (seconds | {"training": 2.5}).items()}
    (tmp_path / "verify_cost.json").write_text(json.dumps({"median": median}))
    docs, readme = tmp_path / "threat-model.md", tmp_path / "README.md"
    docs.write_text(f"{attacks_report._BEGIN}{attacks_report._END}")
    readme.write_text(f"{attacks_report._README_BEGIN}{attacks_report._README_END}")
    given = ["--result", str(tmp_path / "attacks.json"), "--cost", str(tmp_path / "verify_cost.json")]
    given += ["--docs", str(docs), "--readme", str(readme)]
    monkeypatch.setattr("sys.argv", ["attacks_report", *given])
    assert attacks_report.main() == 0
    lines = [line for line in docs.read_text().splitlines() if line.startswith("| ")]
    assert lines[2].startswith("| half of the steps | ")
    assert lines[2].endswith(" | `skill/gain-of-peers` | 0.5, 0.5 | 3 of 4, 30% to 95% | 50% of the steps | 0.50 |")
    assert lines[3].startswith("| copy | ")
    assert "| cluster 0, first | 4 | 0 |" in lines
    assert "| rung 4, skill | 0.25 | 10% |" in lines
    assert "| always refused | 2 |" in readme.read_text()
    assert "| honest work rejected | 0 of 4, at most 49.0% at 95 % |" in readme.read_text()


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (15, 30, 0.3315, 0.6685)]
)
def test_wilsons_interval_is_the_published_one(hits, trials, low, high):
    assert wilson(hits, trials) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
