"""The matrix of experts and clusters, from the reports that verifications left."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tick_world import START, run_of, step, submission, verdict, want
from tick_world import lease_of as lease_in
from tick_world import registration as registered

from paris.coordinator.report.specialisation import SkillReports
from paris.coordinator.report.tables import _specialisation_lines
from paris.coordinator.state.model import State
from paris.coordinator.verify.curves import ScoredPoint
from paris.coordinator.verify.report import Report, write_report


def scored_run(folder, num_experts: int, loss_of) -> State:
    """Experts that are all registered, with reports whose rows' losses average to `loss_of(expert, cluster)`."""
    state = run_of(num_experts)
    for number in range(num_experts):
        task_id, now = f"expert-{number}", START + 100 * number
        state = step(state, now, want(0, now)).state
        lease = lease_in(state, task_id)
        state = step(state, now + 1, submission(lease, 0, now + 1)).state
        state = step(state, now + 2, verdict(lease, True)).state
        state = step(state, now + 3, registered(lease)).state
        heldout = {k: (loss_of(number, k) - 0.125, loss_of(number, k) + 0.125) for k in range(num_experts)}
        write_scores(folder, lease.lease_id, task_id, ScoredPoint(step=1000, training_loss=0.5, heldout=heldout))
    return state


def write_scores(folder, lease_id: str, task_id: str, scores: ScoredPoint | None) -> None:
    report = Report(
        task_id=task_id, attempt=1, lease_id=lease_id, volunteer="v" * 64, accepted=True, reason="", rungs=(),
        repo="a/b", scores=scores,
    )  # fmt: skip
    (folder / lease_id).mkdir(parents=True)
    write_report(report, folder / lease_id / "report.json")


def at_home(expert: int, cluster: int) -> float:
    return 0.5 if expert == cluster else 0.75 + 0.01 * expert


def test_an_expert_is_best_at_home_by_the_means_of_its_report(tmp_path):
    matrix = SkillReports(tmp_path).matrix(scored_run(tmp_path, 3, at_home))
    assert matrix.clusters == (0, 1, 2)
    assert [row.losses for row in matrix.rows] == [(0.5, 0.75, 0.75), (0.76, 0.5, 0.76), (0.77, 0.77, 0.5)]
    assert matrix.rows[0].ratios == (1.0, pytest.approx(1.5), pytest.approx(1.5))
    assert (matrix.num_at_home, matrix.num_scored) == (3, 3)
    text = "\n".join(_specialisation_lines({"specialisation": json.loads(json.dumps(matrix, default=vars))}))
    assert "| expert-1 | 0.76 | 0.5 | 0.76 |" in text


def test_of_two_experts_of_one_cluster_one_is_not_at_home(tmp_path):
    matrix = SkillReports(tmp_path).matrix(scored_run(tmp_path, 2, lambda _, cluster: 0.5 + 0.25 * cluster))
    assert matrix.num_at_home == 2, "equally good"
    worse = SkillReports(tmp_path / "b").matrix(scored_run(tmp_path / "b", 2, lambda expert, _: 0.5 + 0.25 * expert))
    assert worse.num_at_home == 1


def test_losses_of_unlike_objectives_are_not_compared(tmp_path):
    state = scored_run(tmp_path, 3, at_home)
    other = state.tasks["expert-2"]
    task = other.task.model_copy(update={"objective": {"kind": "epsilon"}})
    state = replace(state, tasks={**state.tasks, "expert-2": other.model_copy(update={"task": task})})
    last = SkillReports(tmp_path).matrix(state).rows[2]
    assert (last.objective, last.ratios) == ("epsilon", (1.0, 1.0, 1.0))


def test_of_many_experts_some_are_taken_evenly_and_their_reports_alone_are_read(tmp_path):
    state = scored_run(tmp_path, 9, at_home)
    reports = SkillReports(tmp_path)
    matrix = reports.matrix(state, most=3)
    assert (matrix.clusters, matrix.num_scored) == ((0, 4, 8), 9)
    for path in tmp_path.glob("*/report.json"):
        path.unlink()
    assert reports.matrix(state, most=3) == matrix, "what was read is kept"
    assert reports.matrix(state).clusters == (0, 4, 8), "what is gone is left out"


def test_work_without_scores_is_left_out_and_legs_count_before_the_registration(tmp_path):
    state = scored_run(tmp_path, 1, at_home)
    lease = state.tasks["expert-0"].registration.lease_id
    leg = state.tasks["expert-0"].model_copy(update={"registration": None, "head_lease_id": lease})
    assert len(SkillReports(tmp_path).matrix(replace(state, tasks={"expert-0": leg})).rows) == 1
    (tmp_path / lease / "report.json").unlink()
    (tmp_path / lease).rmdir()
    write_scores(tmp_path, lease, "expert-0", None)
    assert SkillReports(tmp_path).matrix(state).rows == ()
