"""Of two coordinators one leads; one that has lost the lead changes nothing and seals nothing any more."""

from __future__ import annotations

from contextlib import closing

import pytest
from test_store import full_state

from paris.coordinator.errors import DatabaseError, DeposedError
from paris.coordinator.state.engine import open_engine
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.leading import Leadership, known_addresses, require_same_leader
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store
from paris.protocol.run_records import Task
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

NOW = 1_800_000_000.0


@pytest.fixture
def two(schema):
    Store(schema).close()
    first, second = Leadership(schema, "first"), Leadership(schema, "second")
    yield first, second
    first.close()
    second.close()


def cut(schema) -> None:
    """End the connections that hold a lock, as PostgreSQL does with those of a machine that is gone."""
    engine = open_engine(schema)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
    engine.dispose()


def test_one_leads_at_a_time_and_the_next_knows_whom_it_follows(two):
    first, second = two
    assert first.try_to_lead()
    assert not second.try_to_lead()
    assert (first.epoch, first.predecessor, second.leader()) == (1, "", "first")
    first.keep()
    first.close()
    assert second.try_to_lead()
    assert (second.epoch, second.predecessor) == (2, "first")


def test_a_leader_whose_connection_was_cut_leads_on_if_nobody_else_has_led(two, schema):
    first, second = two
    assert first.try_to_lead()
    cut(schema)
    first.keep()
    assert first.epoch == 1
    assert not second.try_to_lead(), "it has the lock again"


def test_a_lock_that_the_database_holds_for_a_lost_connection_is_waited_for(two, schema):
    first, second = two
    assert first.try_to_lead()
    cut(schema)
    assert second._try_lock(), "in place of the session that the database has not noticed to be gone"
    with pytest.raises(DatabaseError, match="still holds the lock"):
        first.keep()
    second.close()
    first.keep()


def test_a_deposed_leader_notices_and_its_late_saves_are_refused_whole(two, schema):
    first, second = two
    assert first.try_to_lead()
    with closing(Store(schema)) as old, closing(Store(schema)) as new:
        old.fence(first.epoch)
        old.save(State(), full_state(), [], now=1.0)
        cut(schema)
        assert second.try_to_lead()
        new.fence(second.epoch)
        with pytest.raises(DeposedError):
            old.save(full_state(), State(), [Event(EventKind.JOINED, "late")], now=2.0)
        assert (new.load(), new.events()) == (full_state(), [])
        new.save(full_state(), State(), [], now=3.0)
        assert new.load() == State()
    with pytest.raises(DeposedError, match="Another coordinator leads"):
        first.keep()
    with pytest.raises(DeposedError):
        first.require()
    assert second.epoch == 2
    second.keep()


def changed_saves(schema, number: int) -> None:
    engine = open_engine(schema)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE service SET saves = saves + {number}")
    engine.dispose()


def test_a_leader_whose_database_went_back_to_an_earlier_state_is_to_start_from_that(two, schema):
    first, _ = two
    assert first.try_to_lead()
    with closing(Store(schema)) as store:
        store.fence(first.epoch)
        store.save(State(), full_state(), [], now=1.0)
        changed_saves(schema, -1)  # as in a copy that lacks the last one
        with pytest.raises(DeposedError, match="does not have what was saved last"):
            store.save(full_state(), State(), [], now=3.0)
        assert store.load() == full_state()


def test_a_save_of_which_nobody_knows_whether_it_was_written_is_not_followed_by_another(two, schema):
    first, _ = two
    assert first.try_to_lead()
    with closing(Store(schema)) as store:
        store.fence(first.epoch)
        store.save(State(), full_state(), [], now=1.0)
        changed_saves(schema, 1)
        store.save(full_state(), State(), [], now=2.0)  # another command had added something
        with pytest.raises(Exception, match="not-null"):
            store.save(State(), full_state(), [Event(EventKind.JOINED, None)], now=3.0)
        store.save(State(), full_state(), [], now=4.0)  # surely not written
        with pytest.raises(Exception, match="not-null"):
            store.save(full_state(), State(), [Event(EventKind.JOINED, None)], now=5.0)
        changed_saves(schema, 1)  # as if it had been
        with pytest.raises(DeposedError, match="does not have what was saved last"):
            store.save(full_state(), State(), [], now=6.0)


def test_a_process_beside_a_leader_notices_that_another_leads(two, schema):
    first, second = two
    assert first.try_to_lead()
    require = require_same_leader(schema)
    require()
    first.close()
    require()
    assert second.try_to_lead()
    with pytest.raises(DeposedError):
        require()


def test_a_deposed_leader_that_slept_through_the_next_ones_end_does_not_lead_on(two, schema):
    first, second = two
    assert first.try_to_lead()
    cut(schema)
    assert second.try_to_lead()
    second.close()
    with pytest.raises(DeposedError):
        first.keep()


def test_the_records_of_a_later_leader_have_greater_sequences_though_its_clock_is_behind(two, schema):
    first, second = two
    identity, task = Identity.generate(), full_state().tasks["expert-0"].task
    run_id = make_run_id("tiny", identity.public_key)

    def sealed_by(leadership: Leadership, now: float) -> int:
        envelope = Sealer(identity, run_id, clock=lambda: now, sequences=leadership).seal(Task(**dict(task)), 60.0)
        return envelope.sequence

    assert first.try_to_lead()
    early = Sealer(identity, run_id, clock=lambda: NOW + 3600, sequences=first)
    before = [early.seal(task, 60.0).sequence for _ in range(3)]
    cut(schema)
    assert second.try_to_lead()
    after = sealed_by(second, NOW)
    last_words = [early.seal(task, 60.0).sequence for _ in range(3)]  # below what it reserved
    assert max(before + last_words) < after
    early._clock = lambda: NOW + 7200
    with pytest.raises(DeposedError):
        early.seal(task, 60.0)


def test_each_finds_the_addresses_of_the_others_that_were_seen_lately(two, schema):
    first, second = two
    first._clock, second._clock = (lambda: NOW), (lambda: NOW + 1)
    first.announce(["/ip4/10.0.0.1/tcp/1/p2p/first", "/ip6/::1/tcp/1/p2p/first"])
    second.announce(["/ip4/10.0.0.2/tcp/1/p2p/second"])
    second.announce(["/ip4/10.0.0.2/tcp/2/p2p/second"])
    assert first.other_addresses() == ["/ip4/10.0.0.2/tcp/2/p2p/second"] == known_addresses(schema)[:1]
    second._clock = lambda: NOW + 60
    assert second.other_addresses() == ["/ip4/10.0.0.1/tcp/1/p2p/first"]
    second._clock = lambda: NOW + 8 * 86400
    assert second.other_addresses() == []
