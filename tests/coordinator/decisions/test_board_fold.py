"""The board at any event is the fold of the log: over real ticks, through the database, after the oldest are gone."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import zlib
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from time import process_time

import pytest
import test_leg_stories as leg_stories
from hypothesis import given, settings
from hypothesis import strategies as st
from test_parallel import leased_in_parallel
from test_tick import observations_of, stories
from tick_world import (
    PEOPLE,
    START,
    beat,
    lease_of,
    leg_step,
    registration,
    relay,
    run_of,
    step,
    submission,
    verdict,
    want,
)

from paris.coordinator.page.replay import _NEW, Replay
from paris.coordinator.state import event_log
from paris.coordinator.state.boards import Board, VolunteerRow, board_of
from paris.coordinator.state.changes import Changes, changes_between, fold
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import State, VolunteerState
from paris.coordinator.state.store import Store
from paris.protocol.work_records import Want

_WITH_COPIES = 10
"""The last version of the file that kept copies of the board."""


def replay_of(path) -> Replay:
    def ask(query, values):
        with closing(sqlite3.connect(path)) as db:
            return db.execute(query, values).fetchall()

    return Replay(ask)


def without_steps(board: Board) -> Board:
    """The board without what is noted now and then only."""
    return replace(board, tasks={name: replace(row, step=0, loss=None) for name, row in board.tasks.items()})


@settings(max_examples=15, deadline=None)
@given(stories())
def test_the_fold_of_the_log_is_the_board_after_every_tick(story):
    check_fold(run_of(3), story, observations_of, step)


LEG_STORIES = st.lists(
    st.tuples(st.sampled_from(leg_stories.KINDS), st.integers(0, 3), st.integers(0, 1), st.floats(0.1, 60)), max_size=60
)


@settings(max_examples=15, deadline=None)
@given(LEG_STORIES)
def test_the_fold_of_the_log_is_the_board_of_legs_and_roll_backs(story):
    check_fold(run_of(2), story, leg_stories.observations_of, leg_step)


def check_fold(state: State, story, observe, tick_once) -> None:
    """Save each tick of a story as a service does, and fold the log that is on disk."""
    with tempfile.TemporaryDirectory() as folder:
        check_fold_in(Store(Path(folder) / "state.sqlite"), state, story, observe, tick_once)


def check_fold_in(store: Store, state: State, story, observe, tick_once) -> None:
    now = START
    store.save(State(), state, [], now)
    told = {}
    for what, who, number, passed_s in story:
        now += passed_s
        decision = tick_once(state, now, *observe(state, what, who, number, now))
        store.save(state, decision.state, decision.events, now)
        state = decision.state
        told = {row.id: row.changes for row in logged(store)}
        assert without_steps(fold(Board(), map(Changes.from_json, told.values()))) == without_steps(board_of(state))
    store.save(state, replace(state, pause=state.pause.model_copy(update={"is_paused": True})), [], now + 1e6)
    whole = fold(Board(), (Changes.from_json(row.changes) for row in logged(store)))
    assert whole == replace(board_of(state), run=whole.run), "after a while the steps are noted, too"
    assert whole.run["run"].is_paused
    assert {row.id: row.changes for row in logged(store) if row.id in told} == told, "what is written stays"
    store.close()


def logged(store: Store) -> list:
    with store._engine.connect() as connection:
        return connection.execute(event_log.EVENTS.select().order_by(event_log.EVENTS.c.id)).all()


def registered(path) -> tuple[State, list[float]]:
    """An expert from the first want to its registration, saved tick by tick; the times of the ticks."""
    store, state = Store(path), State()
    ticks = [(run_of(1), START, [])]
    ticks.append((None, START + 1, [want(0, START + 1)]))
    for number, make in enumerate((lambda it: beat(it, 0, START + 2, 400), lambda it: submission(it, 0, START + 3))):
        ticks.append((None, START + 2 + number, make))
    ticks += [(None, START + 4, lambda it: verdict(it, True)), (None, START + 5, registration)]
    lease = None
    for first, now, seen in ticks:
        if first is not None:
            store.save(state, first, [Event(EventKind.OPENED, "1 tasks opened.")], now)
            state = first
            continue
        decision = step(state, now, *(seen if lease is None else [seen(lease)]))
        store.save(state, decision.state, decision.events, now)
        state, lease = decision.state, lease or lease_of(decision.state)
    store.close()
    return state, [now for _, now, _ in ticks]


def test_a_run_is_shown_as_it_was_at_each_event_and_time(tmp_path):
    state, times = registered(tmp_path / "state.sqlite")
    replay = replay_of(tmp_path / "state.sqlite")
    assert replay.span() == (times[0], times[-1])
    found = [replay.at_time(now).board.tasks["expert-0"] for now in times]
    assert [(row.state, row.phase, row.volunteer) for row in found] == [
        ("open", "", ""),
        ("leased", "", "v0"),
        ("leased", "training", "v0"),
        ("submitted", "training", "v0"),
        ("submitted", "training", "v0"),
        ("registered", "", "v"),
    ]
    assert [row.attempt for row in found] == [0, 1, 1, 1, 1, 1]
    last = replay.at_time(times[-1])
    assert last.board == board_of(state)
    assert last.board.volunteers[PEOPLE[0].public_key].accepted == 1
    assert last.board.credits[PEOPLE[0].public_key].steps == 1000
    seen, moment = [], last
    while moment is not None:
        seen.append(moment.board)
        moment = replay.at_event(moment.before) if moment.before else None
    assert seen[-1].tasks["expert-0"].state == "open"
    assert len(seen) == len(set(map(str, seen))), "each step back shows another board"
    assert replay.at_time(0.0).board == seen[-1], "before the first event: the first"
    assert not replay.starts_late()


def test_boards_that_are_kept_in_between_change_nothing(tmp_path, monkeypatch):
    registered(tmp_path / "state.sqlite")
    plain = replay_of(tmp_path / "state.sqlite")
    monkeypatch.setattr("paris.coordinator.page.replay._KEPT_EVERY", 2)
    kept = replay_of(tmp_path / "state.sqlite")
    for event_id in range(12):
        assert kept.at_event(event_id) == plain.at_event(event_id)


def test_the_first_event_that_is_kept_has_the_board_of_those_that_were_dropped(tmp_path, monkeypatch):
    path = tmp_path / "state.sqlite"
    state, times = registered(path)
    replay = replay_of(path)
    before = replay.at_time(times[-1])
    ask, folded_after = replay._ask, []
    replay._ask = lambda query, values: (
        (folded_after.append(values["after"]) if query == _NEW else None) or ask(query, values)
    )
    monkeypatch.setattr(event_log, "_MAX_EVENTS", 3)
    store = Store(path)
    store.save(state, state, [Event(EventKind.PROBLEM, "x")], times[-1] + 1)
    rows = logged(store)
    assert len(rows) == 3
    assert rows[0].id > 1
    assert replay.at_time(times[-1] + 1).board == before.board == board_of(state)
    assert set(folded_after) == {before.event_id}, "the page does not fold what it has folded"
    assert replay.at_time(0.0).board.tasks["expert-0"].volunteer == "v0"


def test_of_a_full_log_the_events_that_are_not_for_people_go_first_and_no_board_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(event_log, "_MAX_EVENTS", 20)
    monkeypatch.setattr("paris.coordinator.page.replay._KEPT_EVERY", 3)
    path = tmp_path / "state.sqlite"
    store, replay, state = Store(path), replay_of(path), State()
    boards = {}
    for number in range(60):
        told = [Event(EventKind.JOINED, str(number))] if number % 5 == 0 else []
        volunteers = {"b" * 64: known(f"v{number}", number)} if number % 7 else {}
        pause = state.pause.model_copy(update={"is_paused": number % 2 > 0})
        after = replace(state, volunteers=volunteers, pause=pause)
        store.save(state, after, told, START + number)
        state, boards[number + 1] = after, board_of(after)
        if number % 4 == 3:
            ids = [row.id for row in logged(store)]
            assert len(ids) <= 20
            for reader in (replay, replay_of(path)):
                assert [reader.at_event(event_id).board for event_id in ids] == [boards[event_id] for event_id in ids]
    assert [event.text for event in store.events()] == [str(number) for number in range(0, 60, 5)], "none is lost"
    assert replay.at_event(60).before == ids[-2]
    assert replay.at_event(min(set(range(60)) - set(ids))).event_id in ids, "of one that is gone: the last before it"
    assert len(replay._kept) <= 1 + 20 // 2, "boards of events that are gone are not kept for ever"
    for number in range(60, 100):
        told = [Event(EventKind.JOINED, str(number))] if number % 2 else []
        after = replace(state, volunteers={"c" * 64: known("c", number // 2)})
        store.save(state, after, told, START + number)
        state = after
    kinds = [row.kind for row in logged(store)]
    assert (len(kinds), kinds.count(EventKind.PROGRESS.value)) == (20, 2), "a tenth of the log stays for them"
    assert [event.text for event in store.events()] == [str(number) for number in range(65, 100, 2)]
    assert replay.at_time(START + 100).board == replay_of(path).at_time(START + 100).board == board_of(state)


def known(name: str, accepted: int) -> VolunteerState:
    told = Want(name=name, device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0")
    return VolunteerState(
        public_key="b" * 64, want=told, seen_at=START, want_sequence=1, waiting_since=START, num_accepted=accepted
    )


def test_the_time_of_a_fold_does_not_grow_with_the_rows_that_no_event_changes():
    log = [Changes({"volunteers": {"v0": {"accepted": number}}}) for number in range(500)]

    def fold_s(rows: int) -> float:
        board = Board(volunteers={f"v{number}": VolunteerRow("ada", 0, 0, 0) for number in range(rows)})
        begun = process_time()
        assert fold(board, log).volunteers["v0"].accepted == 499
        assert board.volunteers["v0"].accepted == 0, "the board before is left as it was"
        return process_time() - begun

    assert min(fold_s(10_000) for _ in range(3)) < 6 * min(fold_s(1) for _ in range(3))


def test_steps_are_noted_in_intervals_that_grow_with_the_log(tmp_path):
    store, state = Store(tmp_path / "state.sqlite"), step(run_of(1), START, want(0, START)).state
    state = step(state, START + 1, beat(lease_of(state), 0, START + 1, 1)).state
    store.save(State(), state, [], START)
    for now in [*range(10, 600, 10), *range(600_000, 610_000, 500)]:
        lease = state.leases[lease_of(state).lease_id]
        told = lease.model_copy(update={"heartbeat": lease.heartbeat.model_copy(update={"step": 1 + now % 999})})
        after = replace(state, leases={lease.lease.lease_id: told})
        store.save(state, after, [], START + now)
        state = after
    times = [row.at - START for row in logged(store)]
    assert times == [*range(0, 600, 30), 600_000, 603_500, 607_000]
    assert logged(store)[1].text == "expert-0 training, step 31."


def test_parallel_holders_and_credits_of_a_relay_survive_the_fold():
    for state in (leased_in_parallel(), relay(3)):
        board = board_of(state)
        whole = changes_between(Board(), board, with_steps=True)
        assert fold(Board(), [Changes.from_json(whole.to_json())]) == board
        assert not changes_between(board, board, with_steps=True)
        gone = changes_between(board, Board(), with_steps=False)
        assert fold(board, [Changes.from_json(gone.to_json())]) == Board()


@pytest.mark.parametrize("damage", [False, True])
def test_copies_of_an_earlier_version_become_changes_of_the_events_before_them(tmp_path, damage):
    path = tmp_path / "state.sqlite"
    state, times = registered(path)
    opened = board_of(run_of(1))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE events DROP COLUMN changes")
        db.execute("DELETE FROM events WHERE kind = 'progress'")
        db.execute("CREATE TABLE boards (id INTEGER PRIMARY KEY, at FLOAT NOT NULL, board BLOB NOT NULL)")
        for at, board in ((times[1] + 0.5, opened), (times[-1] + 0.5, board_of(state))):
            rows = [asdict(row) for row in board.tasks.values()]
            for row in rows:
                del row["cluster"]  # a field of today
            data = zlib.compress(json.dumps({"format": 1, "tasks": rows}).encode())
            db.execute("INSERT INTO boards (at, board) VALUES (?, ?)", (at, data[: 9 if damage else None]))
        db.execute(f"PRAGMA user_version = {_WITH_COPIES}")
    store = Store(path)
    assert store.load() == state
    replay = replay_of(path)
    if damage:
        assert replay.span() is None
    else:
        assert replay.starts_late(), "events before the first copy"
        assert replay.at_time(0.0).board.tasks == opened.tasks
        assert replay.at_time(times[-1]).board.tasks == board_of(state).tasks
    store.save(state, state, [Event(EventKind.PROBLEM, "x")], times[-1] + 9)
    assert replay.at_time(times[-1] + 9).board == board_of(state), "the first event of this version tells all"
    assert replay_of(path).at_time(times[-1] + 9).board == board_of(state)
