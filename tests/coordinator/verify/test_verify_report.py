"""Checks and what a report says of them; the part of a reference curve that a case carries."""

from __future__ import annotations

import math

import pytest

from paris.coordinator.errors import WorkerError
from paris.coordinator.state.audits import AuditNeed
from paris.coordinator.verify.curves import ReferenceCurve, ScoredPoint
from paris.coordinator.verify.report import (
    Check,
    CheckFailed,
    Checks,
    Report,
    RungReport,
    read_report,
    rejection,
    write_report,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("sense", "figure", "passes"),
    [
        ("at_most", 2.0, True),
        ("at_most", 2.001, False),
        ("at_most", NAN, False),
        ("at_most", math.inf, False),
        ("at_most", -math.inf, True),
        ("at_least", 2.0, True),
        ("at_least", 1.999, False),
        ("at_least", NAN, False),
        ("at_least", -math.inf, False),
        ("at_least", math.inf, True),
    ],
)
def test_a_bound_may_be_met_exactly_and_what_is_no_number_is_on_the_wrong_side(sense, figure, passes):
    checks = Checks()
    if passes:
        getattr(checks, sense)("name", figure, 2.0, "note")
    else:
        with pytest.raises(CheckFailed, match=r"^note: .*, at (most|least) 2 is (allowed|asked for)$"):
            getattr(checks, sense)("name", figure, 2.0, "note")
    (check,) = checks.made
    assert (check.name, check.passed, check.bound, check.sense) == ("name", passes, 2.0, sense.replace("_", " "))
    wrong_side = 1e30 if sense == "at_most" else -1e30
    assert check.figure == (wrong_side if math.isnan(figure) else max(-1e30, min(1e30, figure)))


def test_offenders_are_counted_and_the_first_is_named_in_short():
    checks = Checks()
    checks.none("odd", [], "odd files")
    checks.require("whole", True, "it is whole")
    with pytest.raises(CheckFailed) as failed:
        checks.none("odd", ["x" * 99, "y"], "odd files")
    assert failed.value.check.sentence() == f"odd files (first: {'x' * 80}): 2, at most 0 is allowed"
    with pytest.raises(CheckFailed, match="it is whole: 1, at most 0 is allowed"):
        checks.require("whole", False, "it is whole")
    assert [(check.name, check.figure, check.passed) for check in checks.made] == [
        ("odd", 0, True),
        ("whole", 0, True),
        ("odd", 2, False),
        ("whole", 1, False),
    ]


def test_a_note_shows_no_letter_that_a_terminal_or_json_would_stumble_over():
    checks = Checks()
    checks.at_most("name", 0, 1, "a\x1b[31m\ud800b é")
    assert checks.made[0].note == "a?[31m?b é"


def check(note: str = "note", figure: float = 0.123456, bound: float = 0.98765) -> Check:
    return Check(name="skill", passed=False, figure=figure, bound=bound, sense="at least", note=note)


def test_verdicts_show_counts_whole_and_measurements_to_four_digits():
    assert check().figures() == ": 0.1235, at least 0.9877 is asked for"
    assert check(figure=1234567.0, bound=7).figures() == ": 1234567, at least 7 is asked for"
    rung = RungReport(name="skill", passed=False, headline=check(), checks=(check(),), remarks=("b", "c"), seconds=1)
    record = rung.record()
    assert (record.rung, record.passed, record.figure, record.bound) == ("skill", False, 0.1235, 0.9877)
    assert record.note == "note; b; c"
    long = rung.model_copy(update={"headline": check("x" * 299)}).record().note
    assert long == "x" * 299 + ";"


def test_a_long_reason_is_cut_and_keeps_rung_figure_and_bound():
    assert rejection("skill", check("short")) == "skill/skill: short: 0.1235, at least 0.9877 is asked for."
    reason = rejection("skill", check("x" * 999))
    assert len(reason) == 300
    assert reason.startswith("skill/skill: xxx")
    assert reason.endswith("xxx: 0.1235, at least 0.9877 is asked for.")


def test_a_report_comes_back_from_disk_private_and_a_damaged_one_is_tried_again(tmp_path):
    rung = RungReport(name="skill", passed=True, headline=check(), checks=(check(),), seconds=1)
    facts = {"task_id": "expert-0", "attempt": 2, "lease_id": "a" * 32, "volunteer": "b" * 64}
    report = Report(**facts, accepted=True, reason="good", rungs=(rung,), repo="a/b")
    write_report(report, tmp_path / "r.json")
    assert read_report(tmp_path / "r.json") == report
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600
    verdict = report.verdict()
    assert {name: getattr(verdict, name) for name in facts} == facts
    assert (verdict.accepted, verdict.reason, verdict.rungs) == (True, "good", (rung.record(),))
    (tmp_path / "r.json").write_text('{"task_id": 1}')
    for path in (tmp_path / "r.json", tmp_path / "none.json"):
        with pytest.raises(WorkerError, match="left no report"):
            read_report(path)


@pytest.mark.parametrize(
    ("open_questions", "is_decided"),
    [({}, True), ({"needs": (20,)}, False), ({"audit": AuditNeed(start_step=0, end_step=20, start=None)}, False)],
)
def test_a_report_that_needs_snapshots_or_audits_decides_nothing_yet(open_questions, is_decided):
    facts = {"task_id": "expert-0", "attempt": 2, "lease_id": "a" * 32, "volunteer": "b" * 64}
    report = Report(**facts, accepted=False, reason="", rungs=(), repo="a/b", **open_questions)
    assert report.is_decided == is_decided


def curve(*steps: int) -> ReferenceCurve:
    points = [ScoredPoint(step=step, training_loss=1.0, heldout={0: (1.0,)}) for step in steps]
    return ReferenceCurve(cluster=0, points=tuple(points))


@pytest.mark.parametrize(
    ("first", "last", "kept"),
    [
        (25, 35, [20, 30, 40]),
        (20, 40, [20, 30, 40]),
        (21, 29, [20, 30]),
        (20, 20, [20]),
        (1, 5, [10]),
        (45, 99, [40]),
        (10, 11, [10, 20]),
    ],
)
def test_a_case_carries_the_points_between_two_steps_and_the_nearest_on_either_side(first, last, kept):
    part = curve(10, 20, 30, 40).around(first, last)
    assert [point.step for point in part.points] == kept


def test_the_last_step_of_a_curve_without_points_is_zero():
    assert (curve().last_step, curve(10, 20, 30).last_step) == (0, 30)
