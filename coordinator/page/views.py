"""What each page shows: a template, and its values from the state and the run directory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

from paris.coordinator.model_repo.tags import address_of
from paris.coordinator.page.card import CardFacts
from paris.coordinator.page.folder import RunFolder
from paris.coordinator.page.orders import FORMS
from paris.coordinator.page.queries import Query
from paris.coordinator.page.reading import RunReader, Snapshot
from paris.coordinator.page.tables import (
    VERDICTS,
    history_rows,
    leaders,
    num_present,
    part_of,
    progress_of,
    state_counts,
    task_rows,
    verdict_rows,
    volunteer_rows,
)
from paris.coordinator.report.specialisation import SkillReports
from paris.coordinator.run.health import read_health
from paris.coordinator.service.ordering import orders_about
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State
from paris.coordinator.state.store import SEEN_BEATS
from paris.protocol.clock import Clock

_TASKS_SHOWN, _CHARTS_SHOWN, _VOLUNTEERS_SHOWN, _VERDICTS_SHOWN, _EVENTS_SHOWN = 25, 8, 50, 25, 50
_LATEST_SHOWN, _LEADERS_SHOWN = 8, 50
_LEAST_LIFE_S = 10.0
_SILENT_S = 120.0
"""Without a sign for longer, the service counts as down."""


@dataclass(frozen=True)
class Site:
    """What all pages are made of."""

    folder: RunFolder
    reader: RunReader
    now: Clock
    """UTC seconds."""
    hub_bytes: Callable[[], dict[str, int]] | None = None
    """Bytes that the embedded Hub has moved, by direction; None without one."""

    @cached_property
    def skill(self) -> SkillReports:
        """Scores of verified work."""
        return SkillReports(self.folder.path / "verify")

    @property
    def want_life_s(self) -> float:
        """How long after its last want, as it is on disk, a volunteer counts as present."""
        every_s = self.folder.config.tasks.heartbeat_every_s
        return max(_LEAST_LIFE_S, 4 * every_s) + SEEN_BEATS * every_s


Build = Callable[[Site, Snapshot, Query], dict[str, Any]]


@dataclass(frozen=True)
class View:
    """A page."""

    path: str
    """Below /run; empty for /run itself."""
    title: str
    template: str
    build: Build
    in_menu: bool = True
    is_live: bool = True
    """Whether it shows the present, and is kept up to date."""


def _board(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    every = task_rows(snapshot.state)
    part = part_of([row for row in every if query.state in ("", row["board"])], query.page, _TASKS_SHOWN)
    curves = {row["task_id"]: site.reader.curve(row["task_id"]) for row in part.rows}
    return {
        "part": part,
        "counts": state_counts(every),
        "progress": progress_of(every),
        "curves": curves,
        "num_alive": num_present(snapshot.state, site.now() - site.want_life_s),
        "num_volunteers": len(snapshot.state.volunteers),
        "router": snapshot.state.router,
        "release": snapshot.state.release,
        "release_address": address_of(site.folder.config.hub, snapshot.state.release.note),
        "pause": snapshot.state.pause,
        "health": _health(site),
        "events": site.reader.events(most=_LATEST_SHOWN),
    }


def _health(site: Site) -> dict[str, Any]:
    """How service, DHT, Hub and disk are."""
    health = read_health(site.folder.path)
    moved = site.hub_bytes() if site.hub_bytes is not None else {}
    return {
        "seen_at": None if health is None else health.at,
        "is_up": health is not None and site.now() - health.at < _SILENT_S,
        "tick_s": None if health is None else health.tick_s,
        "num_peers": None if health is None else health.num_peers,
        "hub_sent_bytes": moved.get("sent"),
        "free_bytes": site.folder.free_bytes(),
    }


def _task(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    row = next((row for row in task_rows(snapshot.state) if row["task_id"] == query.task), None)
    cluster = -1 if row is None else row["cluster"]
    return {
        "row": row,
        "orders": [] if row is None else [FORMS[kind] for kind in orders_about(snapshot.state, row["task_id"])],
        "curve": [] if row is None else site.reader.curve(row["task_id"]),
        "reference": site.folder.reference(cluster),
        "cluster": next((it for it in site.folder.clusters() if it.get("cluster") == cluster), None),
        "verdicts": verdict_rows(snapshot.state, task_id=query.task or "")[:_VERDICTS_SHOWN] if row else [],
    }


def _losses(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    part = part_of(task_rows(snapshot.state), query.page, _CHARTS_SHOWN)
    return {
        "part": part,
        "curves": {row["task_id"]: site.reader.curve(row["task_id"]) for row in part.rows},
        "references": {row["task_id"]: site.folder.reference(row["cluster"]) for row in part.rows},
    }


def _volunteers(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    rows = volunteer_rows(snapshot.state, query.text.lower(), site.now() - site.want_life_s)
    return {"part": part_of(rows, query.page, _VOLUNTEERS_SHOWN), "num_alive": sum(row["alive"] for row in rows)}


def _verdicts(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    part = part_of(verdict_rows(snapshot.state, query.state), query.page, _VERDICTS_SHOWN)
    return {"part": part, "results": VERDICTS}


def _verdict(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    rows = [row for row in verdict_rows(snapshot.state) if row["lease_id"] == query.lease]
    return {"row": rows[0] if rows else None, "report": site.folder.report(query.lease) if query.lease else None}


def _skill(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    matrix, (bins, chance) = site.skill.matrix(snapshot.state), site.folder.router_bins()
    return {"matrix": matrix, "objectives": len({row.objective for row in matrix.rows}), "bins": bins, "chance": chance}


def _leaderboard(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    return {"part": part_of(leaders(snapshot.state), query.page, _LEADERS_SHOWN), "first": _LEADERS_SHOWN}


def _clusters(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    has_picture = (site.folder.path / "data" / "clusters.png").is_file()
    part = part_of(site.folder.clusters(), query.page, _TASKS_SHOWN)
    return {"part": part, "has_picture": has_picture}


def _events(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    found = site.reader.events(kind=query.kind, text=query.text, before=query.before, most=_EVENTS_SHOWN + 1)
    return {
        "events": found[:_EVENTS_SHOWN],
        "older": found[_EVENTS_SHOWN - 1].id if len(found) > _EVENTS_SHOWN else 0,
        "kinds": [kind.value for kind in EventKind],
    }


def _history(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    replay = site.reader.replay
    span = replay.span()
    moment = replay.at_event(query.event) if query.event else replay.at_time(query.time + 1 if query.time else inf)
    if span is None or moment is None:
        return {"moment": None}
    rows = history_rows(moment.board)
    return {
        "moment": moment,
        "first": span[0],
        "last": span[1],
        "starts_late": replay.starts_late(),
        "part": part_of(rows, query.page, _TASKS_SHOWN),
        "progress": progress_of(rows),
        "run": moment.board.run.get("run"),
        "num_volunteers": len(moment.board.volunteers),
        "credits": sorted(moment.board.credits.values(), key=lambda it: (-it.steps, it.name))[:_LATEST_SHOWN],
        "events": site.reader.events(before=moment.event_id + 1, most=_LATEST_SHOWN),
    }


def _samples(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    times = site.folder.grid_times()
    shown = times[max(0, bisect_right(times, query.time) - 1) if query.time else -1] if times else 0
    grid = site.folder.grid(shown) if times else None
    return {
        "times": times,
        "shown": shown,
        "rows": [] if grid is None else grid.rows,
        "prompts": [] if grid is None else [prompt for prompt in grid.prompts if prompt],
        "is_on": site.folder.config.page.samples,
    }


def _public(site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    every = task_rows(snapshot.state)
    config, progress = site.folder.config, progress_of(every)
    is_whole = _is_whole(progress)
    tag = _released_tag(site, snapshot.state) if is_whole else ""
    return {
        "what": "" if config.about is None else config.about.what,
        "hardware": "" if config.about is None else config.about.hardware,
        "licence": config.run.licence,
        "counts": state_counts(every),
        "progress": progress,
        "is_whole": is_whole,
        "released_tag": tag,
        "release_address": address_of(config.hub, tag),
        "sample_command": site.folder.sample_command(tag),
        "join_command": site.folder.join_command,
        "leaders": leaders(snapshot.state)[:_LATEST_SHOWN],
        "num_alive": num_present(snapshot.state, site.now() - site.want_life_s),
        "pictures": site.folder.pictures(),
    }


def _is_whole(progress: dict[str, Any]) -> bool:
    """Whether all experts are registered."""
    return bool(0 < progress["num_tasks"] == progress["registered"])


def _released_tag(site: Site, state: State) -> str:
    """The tag of the release; empty if there is none. The command leaves its record in the run directory alone."""
    if state.release.phase != "none":
        return state.release.note if state.release.phase == "done" else ""
    released = site.folder.released()
    return released.tag if released is not None and released.is_of(state) else ""


def card_facts(site: Site, snapshot: Snapshot) -> CardFacts:
    """What the picture of the public page says."""
    progress, config = progress_of(task_rows(snapshot.state)), site.folder.config
    pictures = site.folder.pictures()
    samples = site.folder.path / pictures[0] if pictures else None
    return CardFacts(
        title=config.run.name,
        what="" if config.about is None else config.about.what,
        registered=progress["registered"],
        num_tasks=progress["num_tasks"],
        percent=int(100 * progress["verified"]),
        samples=samples,
        samples_at=samples.stat().st_mtime_ns if samples is not None and samples.is_file() else 0,
    )


BOARD = View("", "Board", "board.html", _board)
PUBLIC = View("public", "Public page", "public.html", _public)
VIEWS = (
    BOARD,
    View("losses", "Losses", "losses.html", _losses),
    View("volunteers", "Volunteers", "volunteers.html", _volunteers),
    View("verdicts", "Verdicts", "verdicts.html", _verdicts),
    View("skill", "Skill", "skill.html", _skill),
    View("samples", "Samples", "samples.html", _samples),
    View("leaderboard", "Leaderboard", "leaderboard.html", _leaderboard),
    View("clusters", "Clusters", "clusters.html", _clusters, is_live=False),
    View("events", "Events", "events.html", _events),
    View("at", "History", "history.html", _history, is_live=False),
    PUBLIC,
    View("task", "Task", "task.html", _task, in_menu=False),
    View("verdict", "Verdict", "verdict.html", _verdict, in_menu=False),
)


def context_of(view: View, site: Site, snapshot: Snapshot, query: Query) -> dict[str, Any]:
    """The values of a page's template."""
    shared = shared_context(view.title, site)
    return {**shared, "view": view, "number": snapshot.number, "query": query, **view.build(site, snapshot, query)}


def shared_context(title: str, site: Site) -> dict[str, Any]:
    """The values that all templates need."""
    return {
        "title": title,
        "view": None,
        "menu": [it for it in VIEWS if it.in_menu],
        "run_name": site.folder.config.run.name,
        "run_id": site.folder.run_id,
    }
