"""The run as it was: the fold of the log, with the events until then."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from page_world import served

from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.store import Store


def opened_and_done(run) -> None:
    """Go back to a run without leases, and forth again, as a service would save it."""
    with closing(Store(run / "state.sqlite")) as store:
        state = store.load()
        opened = replace(state, tasks={name: task.unregistered().reopened() for name, task in state.tasks.items()})
        now = time.time()
        store.save(state, opened, [Event(EventKind.ORDER, "All tasks are open.")], now - 60)
        store.save(opened, state, [Event(EventKind.REGISTERED, "expert-0 is back.")], now)


def test_the_page_shows_the_board_at_an_event_and_leads_to_its_neighbours(run):
    with served(run) as site:
        opened_and_done(run)
        last = site.ask("/run/at").text
        assert "1 of 2 experts registered" in last
        assert "2 volunteers; router: " in last
        assert "expert-0 is back." in last
        assert "<li>ada: 3,000</li>" in last
        earlier = last.partition('rel="prev" href="')[2].partition('"')[0].replace("&amp;", "&")
        first = site.ask(f"/run/at{earlier}").text
        assert "0 of 2 experts registered" in first
        assert 'data-state="training"' not in first
        assert "expert-0 is back." not in first, "events until then"
        later = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert "1 of 2 experts registered" in site.ask(f"/run/at{later}").text
        assert site.ask(f"/run/at?time={int(time.time()) - 40}").text.count("0 of 2 experts registered") == 1
        assert "0 of 2 experts registered" in site.ask("/run/at?time=1").text, "before the first: the first"


def test_a_log_of_an_earlier_version_says_from_when_on_it_tells_the_board(run):
    with served(run) as site:
        assert "No event has changed the board yet." in site.ask("/run/at").text
        opened_and_done(run)
        assert "are of an earlier version" in site.ask("/run/at").text
