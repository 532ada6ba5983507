"""When a volunteer was seen last is written now and then; everything else about it at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tick_world import PEOPLE, START, step, want

from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store

KEY = PEOPLE[0].public_key
EVERY_S = 100.0


def on_disk(store: Store) -> float:
    return store.load().volunteers[KEY].seen_at


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "state.sqlite", seen_every_s=EVERY_S)
    yield opened
    opened.close()


def wants(store: Store, state: State, *times: float) -> State:
    """The state after a want at each of these times, saved."""
    for now in times:
        old, state = state, step(state, now, want(0, now)).state
        store.save(old, state, [], now)
    return state


def test_a_want_that_tells_nothing_new_is_written_after_a_while(store):
    state = wants(store, State(), START, START + 40, START + 80)
    assert (state.volunteers[KEY].seen_at, on_disk(store)) == (START + 80, START)
    state = wants(store, state, START + 99.9)
    assert on_disk(store) == START
    state = wants(store, state, START + 100)
    assert store.load() == state
    wants(store, state, START + 140)
    assert on_disk(store) == START + 100


def test_with_no_such_while_each_want_is_written(tmp_path):
    store = Store(tmp_path / "exact.sqlite")
    state = wants(store, State(), START, START + 1)
    assert store.load() == state
    store.close()


@pytest.mark.parametrize(
    ("update", "is_news"),
    [
        ({"num_accepted": 1}, True),
        ({"faulted_at": 1.0}, True),
        ({"waiting_since": 1.0}, True),
        ({"want": {"state": "busy"}}, True),
        ({"want": {"name": "another"}}, True),
        ({"want": {"disk_bytes": 7}}, False),
        ({"want_sequence": 2**50}, False),
    ],
)
def test_what_is_news_of_a_volunteer_is_written_at_once(store, update, is_news):
    state = wants(store, State(), START)
    known = state.volunteers[KEY]
    update = dict(update)
    if "want" in update:
        update["want"] = known.want.model_copy(update=update["want"])
    later = replace(state, volunteers={KEY: known.model_copy(update={**update, "seen_at": START + 1})})
    store.save(state, later, [], START + 1)
    assert (store.load() == later) == is_news


def test_a_clock_that_was_set_back_is_written(store):
    state = wants(store, State(), START)
    back = replace(state, volunteers={KEY: state.volunteers[KEY].model_copy(update={"seen_at": START - 5000})})
    store.save(state, back, [], START)
    assert on_disk(store) == START - 5000


def test_a_forgotten_volunteer_leaves_nothing_in_memory(store):
    state = wants(store, State(), START, START + 40)
    assert set(store._behind) == {KEY}
    store.save(state, replace(state, volunteers={}), [], START + 50)
    assert store._behind == {}


def test_a_save_that_fails_leaves_what_is_behind_as_it_was(store):
    state = wants(store, State(), START, START + 60)
    later = step(state, START + 120, want(0, START + 120)).state
    with pytest.raises(Exception, match="NOT NULL"):
        store.save(state, later, [Event(EventKind.OPENED, None)], START + 120)
    assert on_disk(store) == START
    store.save(state, later, [], START + 120)
    assert on_disk(store) == START + 120
