"""What a tick does grows with what is going on, and not with what ever was; counted, not timed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from tick_world import START, run_of, step, want

from benchmarks.control_plane_world import World
from paris.coordinator.decisions.observations import WantReceived
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.boards import board_after, board_of
from paris.coordinator.state.curves import new_losses
from paris.coordinator.state.model import State


def operations(work: Callable[[], object]) -> int:
    """How many of Python's instructions some work takes; loops inside of C are not among them."""
    counted = 0

    def trace(frame, event, _argument):
        nonlocal counted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what other tests left behind would call its finalizers here
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return counted


@cache
def world(num_legs: int) -> World:
    """Four experts, all at work, with so many verified legs each."""
    return World(20, 4, num_legs, START)


def running(num_legs: int) -> State:
    """A run's state after a tick of its service: its indexes are made."""
    made = world(num_legs)
    return tick(made.state, [], made.policy, START).state


def test_a_tick_does_no_more_for_the_legs_that_a_run_has_behind_it():
    def of_legs(num_legs: int) -> int:
        state, made = running(num_legs), world(num_legs)
        return operations(lambda: tick(state, [], made.policy, START + 5))

    few, many = of_legs(4), of_legs(16)
    assert many == pytest.approx(few, rel=0.01)


def test_the_board_after_a_tick_takes_no_more_for_legs_and_volunteers_of_which_nothing_is_new():
    def of_legs(num_legs: int) -> int:
        state = running(num_legs)
        board, (name, task) = board_of(state), next(iter(state.tasks.items()))
        later = replace(state, tasks={**state.tasks, name: task.reopened()})
        board_after(board, state, later)
        return operations(lambda: board_after(board, state, later))

    assert of_legs(16) == pytest.approx(of_legs(4), rel=0.01)


def test_the_work_of_granting_grows_linearly_with_tasks_and_volunteers():
    def of_size(number: int) -> int:
        one = want(0, START).envelope
        seen = [WantReceived(replace(one, signer=f"{key:064x}")) for key in range(2 * number)]
        state = run_of(number)
        return operations(lambda: step(state, START, *seen))

    few, more, many = (of_size(number) for number in (20, 40, 80))
    assert many - more == pytest.approx(2 * (more - few), rel=0.05)


def test_machines_that_are_too_small_are_not_asked_again_for_each_task():
    def of_size(number: int) -> int:
        one = want(0, START).envelope
        seen = [WantReceived(replace(one, signer=f"{key:064x}")) for key in range(2 * number)]
        state = run_of(number, min_memory_bytes=2**40)
        return operations(lambda: step(state, START, *seen))

    few, more, many = (of_size(number) for number in (20, 40, 80))
    assert many - more == pytest.approx(2 * (more - few), rel=0.05)


def test_a_loss_is_looked_up_in_the_leases_of_its_own_task():
    def of_tasks(num_tasks: int) -> int:
        made = World(5 * num_tasks, num_tasks, 2, START)
        state = tick(made.state, [], made.policy, START).state
        (held, *_) = made.working(state)
        later = replace(state, leases={**state.leases, held.lease.lease_id: held.model_copy()})
        new_losses(state, later)
        return operations(lambda: new_losses(state, later))

    num_leases = (16 - 4) * 3
    assert of_tasks(16) - of_tasks(4) <= 15 * num_leases, "one look at each lease, to see that it is the same"
