"""Tickets, traffic and accounts of the embedded Hub, without a server."""

from __future__ import annotations

import hashlib
import stat
import time
from urllib.parse import parse_qsl

import pytest

from paris.coordinator.hub.accounts.auth import Users, add_user, admin_token
from paris.coordinator.hub.accounts.tickets import Ticket, TicketOffice, load_secret
from paris.coordinator.hub.accounts.traffic import SAVE_EVERY_S, Traffic
from paris.coordinator.hub.errors import HubStartError, Refusal
from paris.coordinator.hub.storage.store import Store

TOKEN = "a_token_of_twenty_ch"


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "hub.sqlite")
    yield store
    store.close()


def ticket(**fields) -> Ticket:
    values = {"oid": "0" * 64, "size": 7, "user": "ada", "repo": "model/lab/run", "expires": int(time.time()) + 60}
    return Ticket(**{**values, **fields})


def test_a_ticket_is_read_back_as_it_was_signed():
    office = TicketOffice(b"secret")
    for one in (ticket(), ticket(limited=True, part_bytes=5, part=2)):
        assert office.check(dict(parse_qsl(office.query(one)))) == one


@pytest.mark.parametrize(
    "changes",
    [{"size": "8"}, {"limited": "True"}, {"part": "1"}, {"expires": "9999999999"}, {"signature": ""}, {"x": "1"}],
)
def test_a_changed_ticket_is_refused(changes):
    office = TicketOffice(b"secret")
    query = dict(parse_qsl(office.query(ticket()))) | changes
    with pytest.raises(Refusal, match="not signed by this Hub") as caught:
        office.check(query)
    assert caught.value.status == 403


def test_a_ticket_of_another_hub_or_of_the_past_is_refused():
    query = dict(parse_qsl(TicketOffice(b"other").query(ticket())))
    with pytest.raises(Refusal, match="not signed"):
        TicketOffice(b"secret").check(query)
    office = TicketOffice(b"secret")
    with pytest.raises(Refusal, match="expired"):
        office.check(dict(parse_qsl(office.query(ticket(expires=int(time.time()) - 1)))))
    with pytest.raises(Refusal):
        office.check({})


def test_the_key_of_the_tickets_is_made_once_and_private(tmp_path):
    path = tmp_path / "secret"
    first = load_secret(path)
    assert (len(first), load_secret(path), stat.S_IMODE(path.stat().st_mode)) == (32, first, 0o600)
    assert load_secret(tmp_path / "other") != first
    path.unlink()
    path.with_suffix(".tmp").write_bytes(b"left by a crash")
    assert len(load_secret(path)) == 32


def test_traffic_adds_up_over_saves_by_user_repo_and_part(store):
    traffic = Traffic(store)
    traffic.add(("ada", "model/a", "x"), 5, 0)
    traffic.add(("ada", "model/a", "x"), 2, 3)
    traffic.save(0.0)
    traffic.save(0.0)
    traffic.add(("ada", "model/a", "x"), 1, 1)
    traffic.add(("ben", "model/a", "y"), 0, 10)
    report = traffic.report(0.0)
    assert (report["uploaded_bytes"], report["downloaded_bytes"]) == (8, 14)
    rows = [tuple(entry.values()) for entry in report["entries"]]
    assert rows == [("ada", "model/a", "x", 8, 4), ("ben", "model/a", "y", 0, 10)]
    assert list(report["entries"][0]) == ["user", "repo", "part", "uploaded_bytes", "downloaded_bytes"]


def test_traffic_is_due_ten_seconds_after_the_last_save(store):
    traffic = Traffic(store)
    assert traffic.is_due(1000.0)
    traffic.save(1000.0)
    assert not traffic.is_due(1000.0 + SAVE_EVERY_S)
    assert traffic.is_due(1000.1 + SAVE_EVERY_S)


def users(tmp_path, store, *, is_open: bool = True, max_volunteers: int = 2) -> Users:
    return Users(tmp_path, store, open_registration=is_open, max_volunteers=max_volunteers)


def test_a_token_names_its_account_its_role_and_what_it_owns(tmp_path, store):
    add_user(tmp_path, "ada", TOKEN, ["lab"])
    user = users(tmp_path, store).identify(f"bearer {TOKEN}")
    assert (user.name, user.role, user.orgs, user.is_logged_in) == ("ada", "user", ("lab",), True)
    assert [user.owns(owner) for owner in ("ada", "lab", "ben")] == [True, True, False]
    admin = users(tmp_path, store).identify(f"Bearer {admin_token(tmp_path)}")
    assert (admin.role, admin.owns("anybody")) == ("admin", True)
    assert admin_token(tmp_path) == admin_token(tmp_path)
    for name in ("admin.token", "tokens.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert TOKEN not in (tmp_path / "tokens.json").read_text("utf-8")


def test_no_header_is_nobody_and_a_bad_one_is_401(tmp_path, store):
    nobody = users(tmp_path, store).identify(None)
    assert (nobody.role, nobody.is_logged_in, nobody.owns("anonymous")) == ("anonymous", False, False)
    for header in ("Basic " + TOKEN, TOKEN, "Bearer short", "Bearer " + "x" * 201, f"Bearer {TOKEN} "):
        with pytest.raises(Refusal) as caught:
            users(tmp_path, store).identify(header)
        assert caught.value.status == 401
    with pytest.raises(Refusal):
        users(tmp_path, store, is_open=False).identify(f"Bearer {TOKEN}")


def test_a_volunteer_keeps_its_name_and_registration_ends_at_the_bound(tmp_path, store):
    open_hub = users(tmp_path, store)
    first = open_hub.identify(f"Bearer {TOKEN}")
    assert first.name == "user-" + hashlib.sha256(TOKEN.encode()).hexdigest()[:8]
    assert (first.role, first.owns(first.name)) == ("volunteer", False)
    open_hub.identify(f"Bearer {TOKEN}2")
    with pytest.raises(Refusal, match="limit of volunteers") as caught:
        open_hub.identify(f"Bearer {TOKEN}3")
    assert caught.value.status == 403
    assert users(tmp_path, store).identify(f"Bearer {TOKEN}") == first


@pytest.mark.parametrize(
    ("name", "token", "orgs"),
    [
        ("user-1", TOKEN, []),
        ("a/b", TOKEN, []),
        ("ada", TOKEN, ["a/b"]),
        ("ada", TOKEN[:-1], []),
        ("ada", "x" * 201, []),
    ],
)
def test_a_bad_account_changes_nothing(tmp_path, name, token, orgs):
    with pytest.raises(HubStartError):
        add_user(tmp_path, name, token, orgs)
    assert not (tmp_path / "tokens.json").exists()


def test_accounts_that_became_unreadable_go_on_as_they_were_read(tmp_path, store):
    add_user(tmp_path, "ada", TOKEN)
    hub = users(tmp_path, store, is_open=False)
    assert hub.identify(f"Bearer {TOKEN}").name == "ada"
    (tmp_path / "tokens.json").write_text("{", "utf-8")
    assert hub.identify(f"Bearer {TOKEN}").name == "ada"
    with pytest.raises(HubStartError, match="not a list of accounts"):
        add_user(tmp_path, "ben", TOKEN + "2")
    (tmp_path / "tokens.json").unlink()
    with pytest.raises(Refusal):
        hub.identify(f"Bearer {TOKEN}")
