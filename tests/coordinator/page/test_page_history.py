"""The run as it was: boards that the store kept, with the events until then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

from page_world import served

from paris.coordinator.state.boards import board_of, pack_board
from paris.coordinator.state.store import Store

SUBMITTED_AT, LEASED_AT = 1796067902, 1796067825


def keep_boards(run) -> None:
    """What the store would have kept: before any lease, with two, and with an expert."""
    with closing(Store(run / "state.sqlite")) as store:
        state = store.load()
    opened = replace(state, tasks={name: task.unregistered().reopened() for name, task in state.tasks.items()})
    with closing(sqlite3.connect(run / "state.sqlite")) as db, db:
        for at, kept in ((LEASED_AT - 60.5, opened), (SUBMITTED_AT + 60.5, state)):
            db.execute("INSERT INTO boards (at, board) VALUES (?, ?)", (at, pack_board(board_of(kept))))


def test_the_page_shows_the_board_of_a_time_and_leads_to_its_neighbours(run):
    with served(run) as site:
        assert "No copy of the board is kept yet." in site.ask("/run/at").text
        keep_boards(run)
        last = site.ask("/run/at").text
        assert "1 of 2 experts registered" in last
        assert "ada accepted" in last
        first = site.ask(f"/run/at?time={LEASED_AT - 60}").text
        assert "0 of 2 experts registered" in first
        assert 'data-state="training"' not in first
        assert "ada accepted" not in first, "events until then"
        later = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert "1 of 2 experts registered" in site.ask(f"/run/at{later}").text
        earlier = last.partition('rel="prev" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert "0 of 2 experts registered" in site.ask(f"/run/at{earlier}").text
        assert site.ask("/run/at?time=1").text.count("<h1>") == 1, "before the first: the first"
