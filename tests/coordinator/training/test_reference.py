"""`paris-coord reference` on two clusters of small pictures, really trained."""

from __future__ import annotations

import json
import stat

import pytest
import typer.testing
from warm_run import changed, copy_of, json_lines, prepared_run

from paris.coordinator.cli.app import app
from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.service.references import reference_curves
from paris.coordinator.state.model import State
from paris.coordinator.training.reference import make_reference
from paris.coordinator.verify.reference_file import read_reference
from paris.protocol.errors import NewerFileError

STEPS, EVERY = 60, 20


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_run(tmp_path_factory.mktemp("prepared"), snapshot_every=EVERY)


@pytest.fixture(scope="module")
def referenced(prepared, tmp_path_factory):
    """With the reference of both clusters, made in one go."""
    run = copy_of(prepared, tmp_path_factory.mktemp("referenced"))
    make(run)
    return run


def make(run, clusters=None, should_stop=lambda: False):
    make_reference(run, clusters, None, should_stop, as_json=True)


def test_it_scores_the_experts_at_each_snapshot_on_all_clusters(referenced):
    curves = read_reference(referenced)
    assert sorted(curves) == [0, 1]
    for cluster, stored in curves.items():
        assert [point.step for point in stored.curve.points] == [20, 40, 60]
        losses = [sum(point.heldout[cluster]) for point in stored.curve.points]
        assert losses == sorted(losses, reverse=True)
        assert all(len(rows) == 12 for point in stored.curve.points for rows in point.heldout.values())
        assert all(sorted(point.heldout) == [0, 1] for point in stored.curve.points)
    assert curves[1].curve.objective["kind"] == "epsilon"


def test_its_file_is_the_organisers_alone_and_no_snapshots_stay(referenced):
    assert stat.S_IMODE(referenced.reference.stat().st_mode) == 0o600
    assert not referenced.reference_work.exists()


def test_a_stopped_one_resumes_to_the_same_scores(prepared, referenced, tmp_path, capsys):
    run, calls = copy_of(prepared, tmp_path), iter(range(1000))
    make(run, should_stop=lambda: next(calls) == 30)
    assert [point.step for point in read_reference(run)[0].curve.points] == [20]
    assert json_lines(capsys)[-1]["event"] == "stopped"
    make(run)
    assert read_reference(run) == read_reference(referenced)
    scored = [(line["cluster"], line["step"]) for line in json_lines(capsys) if line["event"] == "scored"]
    assert scored == [(0, 40), (0, 60), (1, 20), (1, 40), (1, 60)]
    make(run)
    assert json_lines(capsys) == []


def test_the_paused_training_of_another_cluster_stays(referenced, tmp_path):
    run = changed(copy_of(referenced, tmp_path), "tasks", steps=STEPS + EVERY)
    calls = iter(range(1000))
    make(run, [1], should_stop=lambda: next(calls) == 30)
    paused = sorted(run.reference_work.rglob("*"))
    assert paused
    shorter = changed(run, "tasks", steps=STEPS)
    make(shorter, [0])
    assert sorted(run.reference_work.rglob("*")) == paused
    make(shorter, [1])
    assert not run.reference_work.exists()


def test_a_submission_is_compared_with_the_points_around_its_last_fifth(referenced):
    curves = reference_curves(referenced, State(), STEPS, "")
    assert [[point.step for point in curve.points] for curve in curves] == [[40, 60], [40, 60]]


def test_a_reference_of_other_settings_is_not_used_and_made_again(referenced, tmp_path):
    run = changed(copy_of(referenced, tmp_path), "tasks", steps=2 * STEPS)
    assert reference_curves(run, State(), STEPS, "") == ()
    make(run, [1], should_stop=lambda: True)
    assert read_reference(run)[1].curve.points[-1].step == STEPS  # kept until there are new scores


@pytest.mark.parametrize(
    ("content", "error"), [("{", RunDirError), ('{"curves": 1}', RunDirError), ('{"format": 2}', NewerFileError)]
)
def test_a_damaged_or_newer_file_is_named_and_left_alone(prepared, tmp_path, content, error):
    run = copy_of(prepared, tmp_path)
    run.reference.write_text(content)
    with pytest.raises(error, match=r"reference\.json"):
        reference_curves(run, State(), STEPS, "")
    assert run.reference.read_text() == content


def test_clusters_that_the_run_does_not_have_are_refused(prepared):
    with pytest.raises(ConfigError, match="no cluster 2"):
        make(prepared, [0, 2])
    done = typer.testing.CliRunner().invoke(app, ["reference", str(prepared.path), "--clusters", "0;1"])
    assert isinstance(done.exception, ConfigError)
    assert json.dumps("0;1").strip('"') in str(done.exception)
