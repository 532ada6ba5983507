"""The page in a real browser, Chromium: live, by keyboard, in the dark, on a phone, with orders and hostile names."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from page_world import ADAS_LEASE, change, served, unpacked
from test_page_content import EVIL, HOSTILE
from test_page_live import reopened
from test_page_orders import BEN, orders_of

from benchmarks.browser import Browser, find_chromium
from paris.coordinator.page.views import VIEWS
from paris.coordinator.run.health import Health, write_health
from paris.coordinator.run.page_token import ensure_page_token
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.orders import OrderKind

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed on this machine")
PLACES_OF_AXE = (
    os.environ.get("AXE_JS", ""),
    *(f"{root}/node_modules/axe-core/axe.min.js" for root in ("/usr/lib", "/usr/local/lib")),
)
AXE = next((Path(place) for place in PLACES_OF_AXE if place and Path(place).is_file()), None)
"""A checker of accessibility by others; the tests bring none."""
AUDIT = (Path(__file__).parent / "audit.js").read_text("utf-8")
EVERY_PAGE = [
    *(f"/{view.path}".rstrip("/") for view in VIEWS),
    "/task?task=expert-0",
    f"/verdict?lease={ADAS_LEASE}",
    f"/order?kind=ban&subject={BEN}",
]
IS_LIVE = "document.getElementById('connection').textContent === 'live'"


@pytest.fixture(scope="module")
def browser():
    with Browser(DEADLINE_S) as opened:
        yield opened
        assert opened.problems == [], "no error of the script, nothing that the policy forbade"


@pytest.fixture
def place(run):
    write_health(run, Health(at=time.time(), started_at=1.0, tick_s=0.1, num_peers=2, num_refused_records=0,
                             num_verifications=0, verification_s=0.0))  # fmt: skip
    with served(run) as client:
        yield run, f"{client.url}/run"


def focus(browser: Browser) -> str:
    return browser.value("document.activeElement.textContent")


def test_a_page_follows_the_run_while_focus_and_scroll_stay(browser, place):
    run, url = place
    browser.resize(700, 300)
    browser.open(url)
    browser.wait_for(IS_LIVE)
    browser.value("window.link = [...document.links].find((it) => it.textContent === 'expert-1'); link.focus()")
    browser.value("scrollTo(0, 200)")
    before = browser.value("scrollY")
    assert before > 0
    change(run, reopened)
    browser.wait_for("document.querySelector('#tasks').textContent.includes('open')")
    assert focus(browser) == "expert-1"
    assert browser.value("link.isConnected"), "the row was changed, not replaced"
    assert browser.value("scrollY") == before
    assert browser.value("document.querySelector('#latest').textContent.includes('expert-1: over.')")
    assert all(asked.startswith(url) for asked in browser.requests if not asked.startswith("data:")), (
        "nothing from outside"
    )


def test_a_page_is_used_by_keyboard_alone(browser, place):
    _, url = place
    browser.resize(1200, 800)
    browser.open(url)
    browser.press("Tab")
    assert focus(browser) == "Skip to content"
    browser.press("Enter")
    browser.wait_for("document.activeElement.id === 'main'")
    browser.open(f"{url}/task?task=expert-0")
    browser.value("document.querySelector('.chart svg').focus()")
    for key, shown in (("End", "step 3,000: loss"), ("ArrowLeft", "step 2,9"), ("Home", "step ")):
        browser.press(key)
        assert shown in browser.value("document.querySelector('.chart output').textContent")
    assert browser.value("Number(document.querySelector('.cursor').getAttribute('cx'))") > 0


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width_px", [1280, 390], ids=["desktop", "phone"])
def test_every_page_is_for_every_reader(browser, place, dark, width_px):
    _, url = place
    browser.resize(width_px, 800, phone=width_px < 500)
    browser.set_dark(dark)
    found = {}
    for path in EVERY_PAGE:
        browser.open(url + path)
        found[path] = browser.value(AUDIT)
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    browser.set_dark(False)
    assert {path: found[path] for path in EVERY_PAGE if found[path]} == {}
    assert (int(ground[4:].split(",")[0]) < 60) == dark


@pytest.mark.long
@pytest.mark.skipif(AXE is None, reason="axe-core is not installed: npm install -g axe-core, or AXE_JS=FILE")
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(browser, place, dark):
    _, url = place
    browser.resize(1200, 900)
    browser.set_dark(dark)
    found = {}
    for path in EVERY_PAGE:
        browser.open(url + path)
        browser.value(f"{AXE.read_text('utf-8')}; 0")
        found[path] = browser.value("axe.run().then((it) => it.violations.map((one) => one.help))")
    browser.set_dark(False)
    assert {path: problems for path, problems in found.items() if problems} == {}


@pytest.mark.long
def test_an_order_is_given_in_the_browser_with_the_right_token_only(browser, place):
    run, url = place
    token = ensure_page_token(run).read_text().strip()
    for typed, answer in (("paris_admin_wrong", "The token is not right"), (token, "Ordered.")):
        browser.open(url)
        browser.value("document.getElementById('pause').click()")
        browser.wait_for("document.querySelector('#token') !== null")
        browser.value("document.getElementById('reason').focus()")
        browser.type("new bounds")
        browser.value("document.getElementById('token').focus()")
        browser.type(typed)
        browser.press("Enter")
        browser.wait_for(f"document.querySelector('main').textContent.includes('{answer}')")
        assert len(orders_of(run)) == (typed == token)
    (order,) = orders_of(run)
    assert (order.kind, order.reason) == (OrderKind.PAUSE, "new bounds")
    assert not browser.value("document.cookie"), "the script sees no cookie"
    browser.problems[:] = [it for it in browser.problems if "403" not in it]


@pytest.mark.long
def test_a_hostile_name_does_nothing_in_a_browser(browser, place):
    run, url = place

    def rename(state):
        wants = {key: known.want.model_copy(update={"name": HOSTILE}) for key, known in state.volunteers.items()}
        people = {key: known.model_copy(update={"want": wants[key]}) for key, known in state.volunteers.items()}
        return replace(state, volunteers=people), [Event(EventKind.JOINED, f"{EVIL} joined.")]

    browser.open(url)
    browser.wait_for(IS_LIVE)
    browser.value("window.said = []; window.alert = (text) => said.push(text)")
    change(run, rename)
    browser.wait_for("document.querySelector('#latest').textContent.includes('onerror')")
    assert browser.value("said.length") == 0
    assert browser.value("document.querySelectorAll('#latest img, [onfocus], [autofocus]').length") == 0


@pytest.mark.long
def test_a_page_says_when_it_is_not_connected(browser, run):
    unpacked_again = unpacked(run.parent.parent / "again")
    with served(unpacked_again) as client:
        browser.open(f"{client.url}/run")
        browser.wait_for(IS_LIVE)
    browser.wait_for("document.getElementById('connection').textContent === 'not connected'")
    assert not browser.value(IS_LIVE)
    browser.problems[:] = [it for it in browser.problems if "Failed to load resource" not in it]
