"""Live pages: what changes is sent, once, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from page_world import change, served

from paris.coordinator.page.reading import RunReader
from paris.coordinator.page.stream import Watch
from paris.coordinator.state.events import Event, EventKind


def reopened(state):
    task = state.tasks["expert-1"].reopened()
    return replace(state, tasks={**state.tasks, "expert-1": task}), [Event(EventKind.REVOKED, "expert-1: over.")]


def test_a_change_reaches_the_pages_that_show_it(run):
    with served(run) as site:
        number = site.ask("/run").text.partition("seen=")[2].partition('"')[0]
        with site.stream(f"view=&seen={number}") as fragments, site.stream("view=events&seen=0") as log:
            assert "joined" in next(log)["html"], "an old page is brought up to date"
            change(run, reopened)
            found = {}
            while not found.keys() >= {"summary", "tasks", "latest"}:  # the machine's health may have changed, too
                fragment = next(fragments)
                found[fragment["id"]] = fragment["html"]
            assert "expert-1: over." in next(log)["html"]
        assert found.keys() <= {"summary", "tasks", "latest", "health"}
        assert 'data-state="open"' in found["tasks"]
        assert found["tasks"].startswith('<section id="tasks"')
        assert sum(map(len, found.values())) < 20_000


def test_a_filter_and_a_page_stay_in_a_live_page(run):
    with served(run) as site, site.stream("view=&seen=0&state=registered") as fragments:
        next(fragment for fragment in fragments if fragment["id"] == "tasks")
        change(run, reopened)
        again = next(fragment for fragment in fragments if fragment["id"] in ("tasks", "summary"))
        assert again["id"] == "summary", "the table of registered tasks has not changed"


def test_an_unchanged_state_is_read_once(run):
    reader = RunReader(run / "state.sqlite")
    first = reader.snapshot()
    assert reader.snapshot() is first
    change(run, reopened)
    second = reader.snapshot()
    assert second.number == first.number + 1
    assert second.state.leases["bd35352616808fbfb4b5e8863300603d"] is first.state.leases[
        "bd35352616808fbfb4b5e8863300603d"
    ], "rows that have not changed are not parsed again"  # fmt: skip
    reader.close()


def test_there_is_a_most_of_watchers():
    watch = Watch(None)
    for number, is_full in ((399, (False, False)), (400, (True, False)), (450, (True, True))):
        watch.num_watchers = number
        assert (watch.is_full(for_organiser=False), watch.is_full(for_organiser=True)) == is_full


def test_open_pages_do_not_delay_the_end_of_the_server(run):
    with served(run) as site, site.stream("view=&seen=0") as fragments:
        next(fragments)
        site.server.should_exit = True
        assert [fragment["id"] for fragment in fragments][-1] == "latest", "the rest of the first update, then the end"
