"""A node's page in a real browser, Chromium: live, by keyboard, in the dark, on a phone, without script."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from PIL import Image
from test_own_page_content import EVIL
from units import RUN

from benchmarks.browser import Browser, find_chromium
from paris.node.machine.drawings import DrawingsIndex
from paris.node.view import EventKind

pytestmark = [
    pytest.mark.long,  # shorter: test_own_page_content.py
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed on this machine"),
]
AUDIT = (Path(__file__).parents[2] / "coordinator" / "page" / "audit.js").read_text("utf-8")
IS_LIVE = "document.readyState === 'complete' && document.getElementById('connection')?.textContent === 'live'"
SHOWN = "document.getElementById('drawn').getAttribute('src').endsWith('/{}.png')"


@pytest.fixture(scope="module")
def browser():
    with Browser(DEADLINE_S) as opened:
        yield opened
        assert opened.problems == [], "no error of the script, nothing that the policy forbade"


@pytest.fixture
def opened(browser, page):
    """The page in the browser, as the printed address opens it; with drawings of two steps."""
    drawings = page.site.home.drawings(RUN, "expert-0")
    drawings.begin(DrawingsIndex(captions=("a cat",) * 8, is_latent=False), 0)
    for step in (50, 100):
        draw(page, step)
    browser.resize(1000, 800)
    browser.send("Page.navigate", url=page.address)
    browser.wait_for(f"location.href === '{page.origin}/' && {IS_LIVE}")
    return page


def draw(page, step: int) -> None:
    data = io.BytesIO()
    Image.new("RGB", (96, 48), (step, 90, 160)).save(data, "PNG")
    page.site.home.drawings(RUN, "expert-0").save(step, data.getvalue())


def test_the_page_follows_the_node_while_focus_and_choices_stay(browser, opened):
    browser.value("window.pause = document.getElementById('for'); pause.value = '2h'; pause.focus()")
    opened.event(EventKind.LEASE_LOST, task_id="expert-0", reason=EVIL)
    browser.wait_for("document.getElementById('state').textContent.includes('waiting')")
    assert browser.value("document.activeElement === pause && pause.isConnected && pause.value === '2h'")
    assert browser.value("document.querySelector('#happenings li').textContent.includes('<script>alert(1)</script>')")
    assert all(asked.startswith(opened.origin) for asked in browser.requests if not asked.startswith("data:"))
    assert not any("token" in asked for asked in browser.requests[1:]), "only the first address has it"
    browser.requests.clear()


def test_drawings_are_chosen_by_keyboard_and_the_newest_is_followed(browser, opened):
    browser.wait_for(SHOWN.format(100))
    draw(opened, 150)
    browser.wait_for(SHOWN.format(150))
    browser.value("document.getElementById('slider').focus()")
    browser.press("ArrowLeft")
    browser.wait_for(SHOWN.format(100))
    assert browser.value("document.getElementById('slider').getAttribute('aria-valuetext')") == "step 100"
    draw(opened, 200)
    browser.wait_for("document.querySelectorAll('.strip li').length === 4")
    assert browser.value(SHOWN.format(100)), "what was chosen stays"
    browser.value("document.querySelector('a[data-step=\"50\"]').click()")
    browser.wait_for(SHOWN.format(50))
    assert browser.value("document.querySelector('.strip [aria-current]').dataset.step") == "50"


def test_the_curve_shows_its_values_by_keyboard(browser, opened):
    browser.value("document.querySelector('.chart svg').focus()")
    browser.press("End")
    assert browser.value("document.querySelector('.chart output').textContent") == "step 210: loss 0.0047619"
    browser.press("ArrowLeft")
    assert browser.value("document.querySelector('.chart output').textContent") == "step 200: loss 0.0050000"


def until(holds) -> None:
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        pause.wait(0.05)


def test_buttons_control_the_node(browser, opened):
    browser.value("document.querySelector('#controls button').click()")
    until(lambda: opened.site.wishes.why_paused() is not None)  # the page of before is live until it is replaced
    assert opened.site.wishes.why_paused().until is None
    browser.wait_for(f"{IS_LIVE} && document.querySelectorAll('#controls button').length > 1")
    browser.value("document.querySelectorAll('#controls button')[1].click()")
    until(lambda: opened.site.wishes.why_paused() is None)
    browser.wait_for(IS_LIVE)
    browser.value("document.querySelector('.top button').click()")
    browser.wait_for("document.getElementById('token')?.type === 'password'")
    assert opened.ask("/").status == 200, "another browser's session stays"
    assert ["401" in problem for problem in browser.problems] == [True], "the door's answer"
    browser.problems.clear()


@pytest.mark.parametrize("width_px", [1000, 400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_has_a_name_contrast_and_room(browser, opened, width_px, dark):
    browser.resize(width_px, 800, phone=width_px < 500)
    browser.set_dark(dark)
    browser.value("for (const it of document.querySelectorAll('details')) it.open = true")
    found = browser.value(AUDIT)
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    wide = browser.value("document.documentElement.scrollWidth")
    browser.set_dark(False)
    assert found == []
    assert (int(ground[4:].split(",")[0]) < 60) == dark
    assert wide <= width_px


def test_without_script_the_page_shows_the_same_and_works(browser, opened):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.send("Page.navigate", url=f"{opened.origin}/?step=50#pictures")
        browser.wait_for("location.search === '?step=50' && document.readyState === 'complete'")
        assert browser.value(SHOWN.format(50))
        assert browser.value("document.getElementById('slider').hidden")
        assert browser.value("document.getElementById('connection').textContent") == ""
        assert "expert-0: training" in browser.value("document.querySelector('h1').textContent")
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
