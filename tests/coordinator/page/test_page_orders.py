"""Orders on the page: with the organiser's token, from this page's own form, and as the commands give them."""

from __future__ import annotations

import re
import stat
from contextlib import closing
from urllib.parse import urlencode

import pytest
from page_world import served, unpacked

from paris.coordinator.page.orders import FORMS
from paris.coordinator.run.page_token import ensure_page_token
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.store import Store

BEN = "364bb217"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    run = unpacked(tmp_path_factory.mktemp("orders"))
    file = ensure_page_token(run)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with served(run) as client:
        yield run, client, file.read_text().strip()


def send(client, token: str = "", *, origin: str | None = None, cookie: str = "", **fields: str):
    headers = {"Content_Type": "application/x-www-form-urlencoded", "Origin": origin or client.url}
    headers |= {"Cookie": cookie} if cookie else {}
    body = urlencode({**fields, **({"token": token} if token else {})})
    return client.ask("/run/order", "POST", body, **headers)


def orders_of(run) -> list[Order]:
    with closing(Store(run / "state.sqlite")) as store:
        return list(store.orders().values())


@pytest.mark.parametrize(
    "case", ["no token", "a wrong token", "another site", "no origin", "a made-up cookie", "another name"]
)
def test_without_the_token_nothing_is_ordered(place, case):
    run, client, token = place
    before = orders_of(run)
    fields = {"kind": "ban", "subject": BEN}
    answer = {
        "no token": lambda: send(client, **fields),
        "a wrong token": lambda: send(client, "paris_admin_" + "0" * 40, **fields),
        "another site": lambda: send(client, token, origin="http://attacker.example", **fields),
        "no origin": lambda: client.ask("/run/order", "POST", urlencode({**fields, "token": token})),
        "a made-up cookie": lambda: send(client, cookie="paris_page=" + "0" * 64, **fields),
        "another name": lambda: client.ask(
            "/run/order", "POST", urlencode({**fields, "token": token}), Host="a.example"
        ),
    }[case]()
    assert answer.status == (404 if case == "another name" else 403)
    assert "set-cookie" not in answer.headers
    assert orders_of(run) == before


def test_an_order_reaches_the_service_and_the_browser_needs_the_token_once(place):
    run, client, token = place
    form = client.ask(f"/run/order?kind=ban&subject={BEN}").text
    assert "Ban a volunteer" in form
    assert 'name="token"' in form
    first = send(client, token, kind="ban", subject=BEN, reason="copied <b>")
    assert first.status == 200, first.text
    assert orders_of(run)[-1].kind is OrderKind.BAN
    assert (orders_of(run)[-1].subject[:8], orders_of(run)[-1].reason) == (BEN, "copied <b>")
    cookie = first.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/run"))
    assert token not in cookie
    session = cookie.partition(";")[0]
    assert 'name="token"' not in client.ask("/run/order?kind=revoke&subject=expert-1", Cookie=session).text
    assert send(client, cookie=session, kind="revoke", subject="expert-1").status == 200
    assert orders_of(run)[-1] == Order(OrderKind.REVOKE, "expert-1")
    assert send(client, cookie=session, origin="http://attacker.example", kind="pause").status == 403


@pytest.mark.parametrize(
    ("fields", "status", "why"),
    [
        ({"kind": "revoke", "subject": "expert-0"}, 409, "expert-0 has no lease."),
        ({"kind": "ban", "subject": "nobody"}, 409, "No volunteer has the name or key"),
        ({"kind": "unpause"}, 409, "The run is not paused."),
        ({"kind": "release"}, 409, "Not registered yet: expert-1."),
        ({"kind": "roll-back", "subject": "expert-0", "step": "7"}, 409, "no verified leg"),
        ({"kind": "shutdown"}, 400, "There is no such order."),
        ({"kind": "pause", "more": "1"}, 400, "There is no such order."),
        ({"kind": "pause", "reason": "x" * 5000}, 413, "too long"),
    ],
)
def test_an_order_that_means_nothing_says_why(place, fields, status, why):
    run, client, token = place
    before = orders_of(run)
    answer = send(client, token, **fields)
    assert (answer.status, why in answer.text) == (status, True), answer.text
    assert orders_of(run) == before


def test_every_order_of_the_page_has_a_form_and_says_what_it_does(place):
    _, client, _ = place
    for kind, form in FORMS.items():
        text = client.ask(f"/run/order?kind={kind}&subject=expert-0").text
        assert form.title in text
        assert form.what in text
        assert ("for the event log and the volunteer" in text) == (kind != "release"), "a release concerns none"
    assert client.ask("/run/order?kind=allow&subject=x").status == 400
    assert client.ask("/run/order").status == 400


@pytest.mark.parametrize(("task", "offered"), [("expert-0", {"unregister"}), ("expert-1", {"revoke"})])
def test_a_task_offers_the_orders_that_would_change_something(place, task, offered):
    """One expert is registered, the other is leased; nothing was ever withdrawn."""
    _, client, _ = place
    text = client.ask(f"/run/task?task={task}").text
    assert set(re.findall(rf"/run/order\?kind=([a-z-]+)&amp;subject={task}", text)) == offered
