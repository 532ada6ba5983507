"""The trial takes a real step in a process of its own, and survives a hostile run and a process that dies."""

from __future__ import annotations

import pytest
from mini_coordinator import MODEL, TRAINING
from units import make_unit

from paris.node.doctor import trial_look
from paris.node.doctor.finding import Level
from paris.node.doctor.looks import Look, look_at
from paris.node.doctor.run_looks import fit
from paris.node.doctor.trial_look import trial
from paris.node.machine.hardware import Hardware

TEXT = {"kind": "vocabulary", "dim": 8, "max_tokens": 4}
HARDWARE = Hardware("cpu", "a CPU of the tests", 8 * 2**30, 8 * 2**30)


@pytest.fixture
def candidate(known, make_spec):
    """What is known before the look at the fit, of a run with these fields."""

    def candidate(**fields):
        known.run, known.hardware = "run.json", HARDWARE
        known.spec = make_spec(**{"model": MODEL, "training": TRAINING, "text": TEXT, "leg_steps": 500, **fields})
        known.tasks = [make_unit().task]
        return known

    return candidate


def test_a_step_of_the_runs_model_is_taken_and_a_leg_estimated(candidate):
    known = candidate()
    known.config = known.config.model_copy(update={"threads": 1})
    (fits,) = fit(known)
    assert "expert-0 fits into this machine" in fits.text
    computes, speed = trial(known)
    assert (computes.level, speed.level) == (Level.OK, Level.OK), speed.text
    assert "computes right on cpu" in computes.text
    assert "a step of 4 rows takes " in speed.text
    assert "a leg of 500 steps takes about" in speed.text


def test_a_run_that_fits_on_no_machine_is_a_problem_and_is_not_tried(candidate):
    huge = {**MODEL, "hidden_size": 65536, "num_layers": 65536}
    for tasks in ([make_unit().task], []):
        known = candidate(model=huge)
        known.tasks = tasks
        (found,) = fit(known)
        assert found.level is Level.PROBLEM
        assert "of memory, this machine (a CPU of the tests) has 8.0 GiB" in found.text
        assert list(trial(known)) == []


@pytest.mark.parametrize(
    "model", [{}, {**MODEL, "hidden_size": -1}, {**MODEL, "patch_size": 3}, {"class": "os.system"}]
)
def test_a_model_that_is_none_is_a_problem_with_or_without_tasks(candidate, model):
    for tasks in ([make_unit().task], []):
        known = candidate(model=model)
        known.tasks = tasks
        (found,) = look_at(Look("fit", lambda known=known: fit(known)))
        assert (found.level, found.name) == (Level.PROBLEM, "fit")
        assert known.candidate is None


def test_a_smaller_size_is_taken_where_the_runs_model_does_not_fit(candidate):
    known = candidate(model={**MODEL, "num_layers": 60000}, smaller=({"num_layers": 2},))
    known.tasks = []
    (found,) = fit(known)
    assert found.level is Level.OK
    assert "in the run's smaller size 1" in found.text


def test_a_step_slower_than_the_run_allows_is_a_warning(candidate):
    known = candidate()
    list(fit(known))
    known.candidate = (make_unit().task.model_copy(update={"steps": 1000, "deadline_s": 60.0}), 0)
    found = trial_look._speed(known, {"rows": 2, "batch_size": 4, "step_s": 0.5})
    assert found.level is Level.WARNING
    assert "a step of 4 rows takes 1 s (measured with 2)" in found.text
    assert "The run allows 0.06 s a step" in found.text


def test_a_process_that_dies_says_so(candidate, monkeypatch):
    monkeypatch.setattr(trial_look, "_PROCESS", "paris.node.doctor.no_such_module")
    known = candidate()
    list(fit(known))
    (found,) = trial(known)
    assert (found.name, found.level) == ("torch", Level.PROBLEM)
    assert "No module named" in found.text
    assert found.next_step


@pytest.mark.long
def test_settings_of_training_that_are_none_are_named_by_the_process(candidate):
    known = candidate(training={"learning_rate": -1.0})
    list(fit(known))
    found = list(trial(known))
    assert [finding.level for finding in found] == [Level.OK, Level.PROBLEM]
    assert "learning_rate" in found[1].text
