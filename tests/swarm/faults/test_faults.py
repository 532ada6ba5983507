"""A short form of `make faults`: one run with three kinds; a long one with all; and the invariants on what is wrong."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from play import FAULTS, faults_of, make_fault, played
from run_invariants import (
    INVARIANTS,
    End,
    everything_ends_without_a_hand,
    few_steps_are_lost,
    lost_steps,
    no_task_is_lost,
    nothing_is_done_twice,
    the_books_balance,
    the_log_tells_the_board,
    the_registered_file_is_whole,
)
from world import SNAPSHOT_EVERY, make_template

from benchmarks.faults import FAULTS_PER_RUN
from paris.coordinator.state.boards import Board
from paris.coordinator.state.model import State

SHORT = ["coordinator killed", "trainer killed", "Hub says 5xx"]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.mark.slow
def test_a_run_ends_soundly_though_the_coordinator_and_a_trainer_are_killed_and_the_hub_fails(template):
    outcome = played(template, 0, SHORT)
    assert outcome["wrong"] == []
    assert set(outcome["done"]) == set(SHORT)
    assert outcome["done"]["coordinator killed"], outcome


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", range(-(-2 * len(FAULTS) // FAULTS_PER_RUN)))
def test_a_run_ends_soundly_whatever_breaks_in_it(template, seed):
    names = faults_of(seed, FAULTS_PER_RUN)
    for name in names:
        if reason := make_fault(name).why_not():
            print(f"{name}: not played here: {reason}")
    assert played(template, seed, names)["wrong"] == []


def test_every_kind_has_its_turn_as_often_as_the_others():
    chosen = [name for seed in range(len(FAULTS)) for name in faults_of(seed, FAULTS_PER_RUN)]
    counts = {name: chosen.count(name) for name in FAULTS}
    assert min(counts.values()) >= FAULTS_PER_RUN - 1, counts


def test_steps_that_are_trained_again_are_counted():
    told = [("trainer-ready", 0), ("snapshot", 15), ("training", 28), ("trainer-ready", 15), ("training", 30)]
    assert lost_steps([{"event": event, "step": step} for event, step in told]) == 13


def test_the_invariants_tell_a_run_that_did_nothing_from_a_sound_one():
    empty = End(State(), [], Board(), "0" * 64, SNAPSHOT_EVERY + 1, 8)
    found = {check.__name__ for check in INVARIANTS if check(empty)}
    assert found == {
        the_registered_file_is_whole.__name__,
        nothing_is_done_twice.__name__,
        the_books_balance.__name__,
        everything_ends_without_a_hand.__name__,
    }
    assert few_steps_are_lost(empty, 1)
    assert not few_steps_are_lost(replace(empty, lost_steps=SNAPSHOT_EVERY), 1)
    assert not no_task_is_lost(empty)
    assert not the_log_tells_the_board(empty)
    assert the_log_tells_the_board(replace(empty, folded=Board(credits=MappingProxyType({"ab": None}))))
