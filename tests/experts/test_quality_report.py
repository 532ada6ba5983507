"""The report of the quality benchmark, from a result of two seeds made up here."""

import json

import pytest

from benchmarks import quality_report
from benchmarks.marked import replace_between


def figure(arm, way, distance, without=(), scale=1.0):
    numbers = dict.fromkeys(("kernel", "precision", "recall", "sliced_wasserstein", "recognised"), 0.5)
    cost = {
        "training_flops": {"experts": 2.0e12, "router": 5e11},
        "sampling_mflops": 450.0,
        "num_samples": 1000,
        "of_monolith": distance / 2,
    }
    asked = {"arm": arm, "way": way, "without": list(without), "is_guided": scale != 1.0, "guidance_scale": scale}
    return {**asked, "frechet": distance, **numbers, **cost}


def folder(seed, ancestral):
    ways = ("oracle", "top2+prompt", "full+prompt", "top1", "top2", "full")
    figures = [figure("monolith", "alone", 2.0), figure("semantic-4", "ancestral", ancestral)]
    figures += [figure("semantic-4", way, 3.0) for way in ways] + [figure("semantic-4", "full", 5.0, (3,))]
    figures += [figure("monolith", "alone", 2.0, scale=1.5), figure("semantic-4", "ancestral!2", 1.0, scale=2.0)]
    figures += [figure("warm-4", "ancestral", 1.0), figure("warm-4", "ancestral!2", 0.5, scale=2.0)]
    losses = [{"cluster": 0, "share": 1.0, "own": 0.1, "best_other": 0.2, "beside": 0.15}]
    beyond = [{**losses[0], "gain": 0.125, "elsewhere": -0.5}]
    said = {"accuracy": 0.75, "calibration_error": 0.031, "temperature": 1.1, "nats": 0.002}
    return {
        "calibration": [{"t": level / 10, "picture": said, "with_prompt": said} for level in range(10)],
        "process_s": {"training": 1800.0, "figures": 1800.0},
        "dataset": "digits",
        "seed": seed,
        "monolith": "monolith",
        "experts": "semantic-4",
        "warm": "warm-4",
        "settings": {"experts": 4, "dataset": "digits"},
        "floor": 0.4,
        "losses_by_cluster": losses,
        "losses_after_start": beyond,
        "figures": figures + ([figure("semantic-8", "ancestral", 4.0)] if seed == 0 else []),
    }


def test_only_what_stands_between_the_marks_is_replaced(tmp_path, monkeypatch, capsys):
    (tmp_path / "quality.json").write_text(json.dumps({"rows": [folder(0, 1.0), folder(1, 2.0)]}))
    (tmp_path / "pictures").mkdir()
    docs = tmp_path / "quality.md"
    docs.write_text(f"before\n{quality_report._BEGIN}old\n{quality_report._END}after\n")
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{quality_report._README_BEGIN}{quality_report._README_END}below\n")
    given = ["quality_report", "--readme", str(readme), "--result", str(tmp_path / "quality.json"), "--docs", str(docs)]
    monkeypatch.setattr("sys.argv", given)
    assert quality_report.main() == 0
    text = docs.read_text()
    assert "2.0 hours of a core" in text
    assert "Training: monolith 2.50 TFLOP, experts and their router 2.50." in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    lines = [line for line in text.splitlines() if line.startswith("| semantic-4 | ancestral |")]
    assert [cell.strip() for cell in lines[0].split("|")][3:5] == ["1.50 ± 0.71", "0.75 ± 0.35"]
    assert "| semantic-4 | full without expert 3 | 5.00" in text
    assert "| semantic-4 | ancestral!2, guided 2 | 1.00 ± 0.00 | 0.50 ± 0.00" in text
    assert "| digits | 0.3 to 0.4 | 75% | 0.031 | 1.10 | 75% | 0.031 | 1.10 |" in text
    assert text.index("| semantic-8") > text.index("| semantic-4 | full without")
    cells = [
        "2.00 ± 0.00 | 1.50 ± 0.71 | 0.75 ± 0.35",
        "2.00 ± 0.00 | 1.00 ± 0.00 | 0.50 ± 0.00",
        "0.50 ± 0.00 | 0.25 ± 0.00",
    ]
    assert f"| digits, 2 seeds | 4 | {' | '.join(cells)} |" in readme.read_text()
    assert "| digits | 0 | 0.1500 | 0.1000 | 0.125 | -0.500 |" in text
    assert (tmp_path / "pictures" / "quality.png").read_bytes()[:4] == b"\x89PNG"


def test_an_arm_that_was_never_measured_is_no_row():
    found = quality_report.figures_of({"rows": [folder(0, 1.0)]})
    assert ("digits", "semantic-16", "ancestral") not in found
    assert found["digits", "monolith", "alone"][0]["frechet"] == pytest.approx(2.0)


def test_a_document_without_its_marks_is_left_as_it_was(tmp_path):
    document = tmp_path / "README.md"
    for text in ("no marks\n", "<a>\nold\n", "<b>\n<a>\n", "<a>\n<b>\n<a>\n<b>\n"):
        document.write_text(text)
        with pytest.raises(ValueError, match=r"README\.md must have '<a>' once"):
            replace_between(document, "<a>\n", "new\n", "<b>\n")
        assert document.read_text() == text


def test_experts_of_different_sizes_are_set_beside_other_ways_where_they_were_measured():
    one = folder(0, 1.0)
    assert quality_report.sizes_table([one]).count("\n") == 2
    one["figures"] += [figure("narrow-4", "ancestral", 3.0), figure("narrow-8", "ancestral", 9.0)]
    one["figures"] += [figure("semantic-4", "ancestral", 4.0, (3,)), figure("narrow-4", "ancestral", 0.5, scale=2.0)]
    lines = quality_report.sizes_table([one]).splitlines()[2:]
    assert [line.split(" | ")[1:4] for line in lines] == [
        ["all of one size", "2.50", "1.00"],
        ["one model for all", "2.50", "2.00"],
        ["the smallest cluster's half as wide", "2.50", "3.00"],
        ["none for the smallest cluster", "2.50", "4.00"],
    ]
