"""Orders from the command line reach the service, once, and are checked where they are given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_service_loop import RouterJob, make_service
from tick_world import START, held, leg, leg_step, leg_verdict, relay, who_holds

from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.errors import ConfigError, NotReadyError
from paris.coordinator.service.ordering import give_order
from paris.coordinator.state.invites import IssuedInvite
from paris.coordinator.state.model import State, VolunteerState
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.store import Store
from paris.protocol.work_records import Want

ADA, BEN, BOB = "a" * 64, "be" * 32, "b0" * 32


class RunOf:
    """The part of a run directory that orders need."""

    def __init__(self, path) -> None:
        self.state = self.state_file = path / "state.sqlite"


@pytest.fixture
def run(tmp_path):
    want = {"device": "cpu", "memory_bytes": 1, "disk_bytes": 1, "state": "waiting", "node_version": "0.1.0"}
    people = {
        key: VolunteerState(public_key=key, want=Want(name=name, **want), seen_at=0, want_sequence=1, waiting_since=0)
        for key, name in ((ADA, "ada"), (BEN, "ben"), (BOB, "ben"))
    }
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), State(volunteers=people), [], 0.0)
    store.close()
    return RunOf(tmp_path)


@pytest.mark.parametrize("subject", ["ada", "aaaa", ADA, ADA.upper()])
def test_a_volunteer_is_named_by_name_key_or_its_beginning(run, subject):
    assert give_order(run, OrderKind.BAN, subject, "copied") == Order(OrderKind.BAN, ADA, "copied")


def test_an_unknown_volunteer_is_named_by_its_whole_key(run):
    assert give_order(run, OrderKind.ALLOW, "c" * 64).subject == "c" * 64


@pytest.mark.parametrize(
    ("kind", "subject", "error", "message"),
    [
        (OrderKind.BAN, "ben", ConfigError, "2 volunteers match 'ben': b0b0b0b0b0b0, bebebebebebe"),
        (OrderKind.BAN, "b", ConfigError, "2 volunteers match"),
        (OrderKind.BAN, "zoe", ConfigError, "No volunteer has the name or key 'zoe'"),
        (OrderKind.BAN, "", ConfigError, "No volunteer has the name or key ''"),
        (OrderKind.UNBAN, "ada", NotReadyError, "is not banned"),
        (OrderKind.REVOKE, "expert-0", ConfigError, "no task 'expert-0'.*publish-tasks"),
    ],
)
def test_an_order_that_means_nothing_is_refused_and_not_left(run, kind, subject, error, message):
    with pytest.raises(error, match=message):
        give_order(run, kind, subject)
    store = Store(run.state_file)
    assert store.orders() == {}
    store.close()


def test_the_service_carries_out_an_order_once_and_keeps_it_over_a_restart(run, tmp_path):
    give_order(run, OrderKind.BAN, "ada", "copied")
    service, store, executor = make_service(tmp_path, RouterJob())
    service.step()
    assert store.orders() == {}
    assert store.load().standings[ADA].reason == "copied"
    assert [event.kind for event in store.events()] == ["order"]
    service.step()
    assert len(store.events()) == 1
    executor.stop()
    store.close()


@pytest.mark.parametrize(
    ("kind", "undo", "subject"),
    [
        (OrderKind.PAUSE, OrderKind.UNPAUSE, ""),
        (OrderKind.BAN, OrderKind.UNBAN, "ada"),
        (OrderKind.ALLOW, OrderKind.DISALLOW, "ada"),
        (OrderKind.WITHDRAW_INVITE, OrderKind.RESTORE_INVITE, "5e" * 16),
    ],
)
def test_an_order_that_waits_can_be_taken_back_and_given_again(run, kind, undo, subject):
    for each in (kind, undo, kind, undo):
        give_order(run, each, subject)
    with pytest.raises(NotReadyError):
        give_order(run, undo, subject)
    store = Store(run.state_file)
    state = tick(store.load(), store.orders().values(), Policy(lease_s=60, heartbeat_every_s=1), 1.0).state
    assert (state.pause.is_paused, state.standings, state.withdrawn_invites) == (False, {}, {})
    store.close()


def test_an_order_stays_until_its_state_is_saved(run):
    give_order(run, OrderKind.BAN, "ada")
    store = Store(run.state_file)
    orders, state = store.orders(), store.load()
    new = tick(state, orders.values(), Policy(lease_s=60, heartbeat_every_s=1), 1.0).state
    assert store.orders() == orders
    store.save(state, new, [], 1.0, done_orders=orders)
    assert store.orders() == {}
    store.close()


def test_a_recheck_is_ordered_of_verified_legs_once(tmp_path):
    store, state = Store(tmp_path / "state.sqlite"), relay(2)
    store.save(State(), state, [], START)
    assert give_order(RunOf(tmp_path), OrderKind.RECHECK, "0", "a rumour").subject == "expert-0"
    last = state.tasks["expert-0"].head_lease_id
    queued = state.submissions[last].model_copy(update={"recheck": True})
    store.save(state, replace(state, submissions={**state.submissions, last: queued}), [], START)
    store.close()
    with pytest.raises(NotReadyError, match="no verified leg, or that is being trained again"):
        give_order(RunOf(tmp_path), OrderKind.RECHECK, "0")


def test_a_roll_back_is_not_taken_back_while_another_leg_is_accepted(tmp_path):
    state = leg_step(relay(3), START + 330, Order(OrderKind.ROLL_BACK, "expert-0", step=400)).state
    lease = held(state).lease
    state = leg_step(state, START + 340, leg(held(state), who_holds(state), START + 340)).state
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), state, [], START)
    assert give_order(RunOf(tmp_path), OrderKind.ROLL_FORWARD, "0").subject == "expert-0"
    store.save(state, leg_step(state, START + 341, leg_verdict(state, lease)).state, [], START)
    store.close()
    with pytest.raises(NotReadyError, match="a further leg was verified since"):
        give_order(RunOf(tmp_path), OrderKind.ROLL_FORWARD, "0")


def test_an_invite_is_named_by_the_beginning_of_its_id_and_withdrawn_once(run):
    store = Store(run.state_file)
    for invite_id in ("ab" * 16, "ac" * 16):
        store.add_invite(IssuedInvite(invite_id, 1, 1.0, 2.0))
    store.close()
    assert give_order(run, OrderKind.WITHDRAW_INVITE, "AB").subject == "ab" * 16
    assert give_order(run, OrderKind.WITHDRAW_INVITE, "5e" * 16).subject == "5e" * 16, "one of before the list"
    for subject, message in (("a", "2 invites begin with 'a'"), ("b", "There is no invite 'b'"), ("", "no invite ''")):
        with pytest.raises(ConfigError, match=message):
            give_order(run, OrderKind.WITHDRAW_INVITE, subject)
    with pytest.raises(NotReadyError, match="Invite acacacac is not withdrawn"):
        give_order(run, OrderKind.RESTORE_INVITE, "ac")
