"""A tick changes a draft: its argument stays as it was, and its work grows linearly with the observations."""

from __future__ import annotations

import gc
import sys
from copy import deepcopy
from dataclasses import replace

import pytest
from tick_world import PEOPLE, START, beat, lease_of, registration, run_of, step, submission, verdict, want

from paris.coordinator.decisions.observations import WantReceived
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import State


def test_a_tick_leaves_its_argument_as_it_was():
    state = step(run_of(2), START, want(0, START), want(1, START)).state
    before = deepcopy(state)
    lease = lease_of(state)
    seen = (beat(lease, 0, START + 1, 5), submission(lease, 0, START + 1), verdict(lease, True), registration(lease))
    after = step(state, START + 2, *seen, want(2, START + 2)).state
    assert after != before
    assert state == before


def test_a_draft_copies_a_table_once_however_many_rows_change():
    volunteer = step(State(), START, want(0, START)).state.volunteers[PEOPLE[0].public_key]
    state = State(volunteers={volunteer.public_key: volunteer})
    draft = Draft(state)
    tables = [draft.volunteers]
    for number in range(100):
        draft.put_volunteer(volunteer.model_copy(update={"public_key": f"{number:064x}"}))
        tables.append(draft.volunteers)
    assert len({id(table) for table in tables}) == 2
    assert draft.finish().volunteers is draft.volunteers
    assert draft.finish().tasks is state.tasks, "what did not change is shared"
    assert list(state.volunteers) == [volunteer.public_key]


def calls_of_a_tick(num_wants: int) -> int:
    """How many Python functions a tick calls (generators count at each item) that receives new wants."""
    one = want(0, START).envelope
    seen = [WantReceived(replace(one, signer=f"{number:064x}")) for number in range(num_wants)]
    counted = 0

    def count(_frame: object, kind: str, _argument: object) -> None:
        nonlocal counted
        counted += kind == "call"

    gc.collect()
    gc.disable()  # what other tests left behind would call its finalizers here
    sys.setprofile(count)
    try:
        decision = step(run_of(3), START, *seen)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert len(decision.state.volunteers) == num_wants
    return counted


def test_the_work_of_a_tick_grows_linearly_with_the_wants():
    few, more, many = (calls_of_a_tick(number) for number in (100, 200, 400))
    assert many - more == pytest.approx(2 * (more - few), rel=0.05)
