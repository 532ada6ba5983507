"""A state in PostgreSQL: made, migrated, moved there, and read beside a service."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import text
from test_store import full_state
from tick_world import START, run_of, step, want

from paris.coordinator.errors import ConfigError, DatabaseError, RunDirError
from paris.coordinator.page.reading import RunReader
from paris.coordinator.run.config import parse_config
from paris.coordinator.run.create import create_run
from paris.coordinator.run.database import PostgresSchema
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.state.copying import copy_state
from paris.coordinator.state.engine import open_engine
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.leading import Leadership
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.postgres import FIRST_FORMAT, leader_key, prepare
from paris.coordinator.state.reading import open_store, read_state
from paris.coordinator.state.store import _POSTGRES_MIGRATIONS, VERSION, Store
from paris.protocol.errors import NewerFileError
from paris.protocol.sealer import SequenceFile


@pytest.fixture
def engine(schema):
    engine = open_engine(schema)
    yield engine
    engine.dispose()


def set_format(engine, number: int) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE service SET format = {number}"))


def test_each_format_since_the_first_has_a_script_to_the_next():
    assert set(_POSTGRES_MIGRATIONS) == set(range(FIRST_FORMAT, VERSION))


def test_many_that_open_a_new_state_at_once_all_find_it(schema):
    stores, barrier = [], threading.Barrier(4)

    def opened() -> None:
        barrier.wait()
        stores.append(Store(schema))

    threads = [threading.Thread(target=opened) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores[0].save(State(), full_state(), [], now=1.0)
    assert [store.load() for store in stores] == [full_state()] * 4
    for store in stores:
        store.close()


def test_runs_in_one_database_do_not_see_each_other(schema):
    other = PostgresSchema(schema.url, f"{schema.run_id}-other")
    with closing(Store(schema)) as store, closing(Store(other)) as another:
        store.save(State(), full_state(), [], now=1.0)
        assert another.load() == State()


def test_a_newer_format_is_refused_and_an_older_one_is_migrated_unless_it_is_served(schema, engine):
    Store(schema).close()
    set_format(engine, VERSION + 1)
    with pytest.raises(NewerFileError, match="newer version"):
        Store(schema)
    set_format(engine, VERSION)
    scripts = {VERSION: "CREATE TABLE more (id INTEGER); INSERT INTO more VALUES (7)"}
    with engine.connect() as leader:
        leader.exec_driver_sql(f"SELECT pg_advisory_lock({leader_key(schema.run_id)})")
        with pytest.raises(RunDirError, match="served by an older version"):
            prepare(engine, schema, VERSION + 1, scripts)
    engine.dispose()  # which frees the lock
    prepare(engine, schema, VERSION + 1, scripts)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM more").scalar() == 7
        assert connection.exec_driver_sql("SELECT format FROM service").scalar() == VERSION + 1


def test_rows_come_back_in_the_order_in_which_they_came_whichever_was_replaced_last(schema):
    state, reader = run_of(11), RunReader(schema)
    for number in (10, 2):
        state = step(state, START + 10 - number, want(number % 3, START + 10 - number)).state
    with closing(Store(schema)) as store:
        store.save(State(), state, [], now=1.0)
        for name in ("tasks", "leases"):
            first, row = next(iter(getattr(state, name).items()))
            changed = row.model_copy(update={"lease_id": "c" * 32} if name == "tasks" else {"heartbeat_at": 7.0})
            old, state = state, replace(state, **{name: {**getattr(state, name), first: changed}})
            store.save(old, state, [], now=2.0)
        for found in (store.load(), reader.snapshot().state):
            assert list(found.tasks) == [f"expert-{number}" for number in range(11)]
            assert list(found.leases) == list(state.leases)
    reader.close()


def test_a_text_with_a_zero_byte_is_taken(schema):
    with closing(Store(schema)) as store:
        store.save(State(), State(), [Event(EventKind.PROBLEM, "a\0b")], now=1.0)
        store.add_order(Order(OrderKind.BAN, "a" * 64, "c\0d"))
        assert [event.text for event in store.events()] == ["a\ufffdb"]
        assert [order.reason for order in store.orders().values()] == ["c\ufffdd"]


def with_database(run: RunDir, schema: PostgresSchema) -> RunDir:
    """The run, with its state in the database, and as a later command opens it."""
    path = run.path / "run.toml"
    path.write_text(path.read_text().replace("[state]\n", f'[state]\ndatabase = "{schema.url}"\n'))
    return RunDir.open(run.path)


@pytest.fixture
def run(tmp_path):
    run = create_run(tmp_path / "run", recipe="emoji-quick")
    with closing(Store(run.state_file)) as store:
        store.save(State(), full_state(), [Event(EventKind.JOINED, "ada")], now=5.0)
        store.set_flag("train-router")
    return run


def test_the_state_of_a_run_moves_into_its_database_once_and_is_numbered_on(run, schema):
    before = run.state_file
    with closing(Store(before)) as store:
        newest = store.newest_event_id()
    SequenceFile(run.path / "sequence").reserve(2**44)
    run = with_database(run, schema)
    with serve_lock(run), pytest.raises(RunDirError, match=r"since before \[state\] database was set"):
        read_state(run)
    assert before.exists()
    with closing(open_store(run)) as store:
        assert (store.load(), store.flag("train-router")) == (full_state(), "1")
        store.save(full_state(), full_state(), [Event(EventKind.JOINED, "ben")], now=6.0)
        assert [(event.id, event.text) for event in store.events()] == [(newest, "ada"), (newest + 1, "ben")]
    assert [file.name for file in run.path.glob("state.sqlite*")] == ["state.sqlite.moved"]
    with closing(Leadership(run.state, "first")) as leadership:
        assert leadership.try_to_lead()
        assert leadership.reserved == SequenceFile(run.path / "sequence").reserved > 2**44


def test_a_move_that_was_killed_before_its_end_is_ended_and_two_states_are_never_mixed(run, schema):
    run = with_database(run, schema)
    copy_state(run.state_file, run.state)
    read_state(run)
    assert not run.state_file.exists()
    with closing(Store(run.state_file)) as other:
        other.save(State(), State(), [Event(EventKind.JOINED, "another")], now=1.0)
    with pytest.raises(RunDirError, match="both hold a state"):
        read_state(run)
    assert run.state_file.exists()


def test_the_page_reads_what_was_saved_and_makes_nothing(schema, postgres):
    reader = RunReader(schema)
    assert reader.snapshot().state == State()
    with closing(Store(schema)) as store:
        store.save(
            State(), full_state(), [Event(EventKind.JOINED, "Ada_1 joined"), Event(EventKind.OPENED, "x")], now=5.0
        )
        first = reader.snapshot()
        assert first.state == full_state()
        assert reader.snapshot() is first
        store.save(full_state(), State(), [], now=6.0)
        assert reader.snapshot().state == State()
    assert reader.curve("expert-0") == [(3, 0.5)]
    assert [event.text for event in reader.events(text="ADA_", most=5)] == ["Ada_1 joined"]
    assert reader.events(text="a%1", most=5) == []
    assert reader.event_counts() == {"joined": 1, "opened": 1, "progress": 1}
    assert reader.replay.span() == (5.0, 6.0)
    postgres.stop()
    try:
        with pytest.raises(DatabaseError, match="cannot be used"):
            reader.snapshot()
    finally:
        postgres.start()
    assert reader.snapshot().state == State()
    reader.close()


def test_a_server_that_does_not_answer_is_named_without_secrets(tmp_path, monkeypatch):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    monkeypatch.setenv("PGPASSWORD", "hunter2-hunter2")
    nowhere = PostgresSchema(f"postgresql://ada@/runs?host={tmp_path}", "tiny-1")
    with pytest.raises(DatabaseError, match=r"postgresql://ada@/runs \(tiny-1\) cannot be used") as caught:
        Store(nowhere)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ada:hunter2@db/runs", "has a password in it"),
        ("postgresql://ada@db/runs?password=hunter2", "has a password in it"),
        ("mysql://ada@db/runs", "not the address of a PostgreSQL database"),
        ("postgresql://[db/runs", "is no address"),
    ],
)
def test_an_address_that_is_none_or_has_a_password_is_refused_without_repeating_it(run, url, message):
    toml = (run.path / "run.toml").read_text()
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(toml.replace("[state]\n", f'[state]\ndatabase = "{url}"\n'), "run.toml")
    assert "hunter2" not in str(caught.value)
