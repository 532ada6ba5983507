"""What holds at the end of every run, whatever happened in it: each returns what is wrong, or an empty text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx2
from deadlines import DEADLINE_S
from world import SNAPSHOT_EVERY, STEPS, World

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.boards import board_of
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.engine import open_engine
from paris.coordinator.state.event_log import LoggedEvent, read_log
from paris.coordinator.state.model import State
from paris.coordinator.state.reading import open_store


@dataclass(frozen=True)
class End:
    """How a run ended."""

    state: State
    log: list[LoggedEvent]
    folded: Any
    """The board that follows from the event log alone."""
    registered_sha256: str
    """Of the bytes that the Hub has under the registered name; empty where there are none."""
    lost_steps: int
    """The most that a start of the trainer had to train again."""
    node_code: int


def end_of(world: World) -> End:
    """Look at a run that is still served."""
    run = RunDir.open(world.run)
    with closing(open_store(run)) as store:
        state, log = store.load(), store.events()
    engine = open_engine(run.state, read_only=True)
    with engine.connect() as connection:
        folded = read_log(connection, None).board
    engine.dispose()
    digest = ""
    for task in state.tasks.values():
        if (made := task.registration) is not None:
            url = f"{world.config.hub.endpoint}/{made.repo}/resolve/main/{made.path}"
            answer = httpx2.get(url, timeout=DEADLINE_S, follow_redirects=True)
            digest = hashlib.sha256(answer.content).hexdigest() if answer.status_code == 200 else ""
    code = world.of("node").popen.wait(DEADLINE_S)
    return End(state, log, folded, digest, lost_steps(world.events), code)


def lost_steps(events: list[Mapping[str, Any]]) -> int:
    """The most steps that one start of the trainer had to repeat.

    Args:
        events: Of all sessions of a node, in order.
    """
    most, reached = 0, 0
    for event in events:
        if event["event"] == "trainer-ready":
            most, reached = max(most, reached - event["step"]), event["step"]
        elif event["event"] in ("training", "snapshot"):
            reached = max(reached, event["step"])
    return most


def no_task_is_lost(end: End) -> str:
    """Every task has its expert."""
    open_tasks = [name for name, task in end.state.tasks.items() if task.registration is None]
    return f"not registered: {', '.join(open_tasks)}" if open_tasks else ""


def the_registered_file_is_whole(end: End) -> str:
    """The Hub has the bytes that the registration names."""
    named = [task.registration.sha256 for task in end.state.tasks.values() if task.registration]
    return "" if named == [end.registered_sha256] else f"registered {named}, on the Hub {end.registered_sha256!r}"


def nothing_is_done_twice(end: End) -> str:
    """One lease, one submission, one verdict, one registration."""
    kinds = [event.kind for event in end.log]
    counts = {kind: kinds.count(kind) for kind in ("leased", "submitted", "accepted", "registered")}
    counts["leases"], counts["submissions"] = len(end.state.leases), len(end.state.submissions)
    wrong = {kind: number for kind, number in counts.items() if number != 1}
    return f"not once: {wrong}" if wrong else ""


def the_books_balance(end: End) -> str:
    """One volunteer was credited with the steps of the expert, and nobody with anything else."""
    credited = [(credit.steps, credit.repeated_steps) for credit in credits_of(end.state)]
    return "" if credited == [(STEPS, 0)] else f"credited: {credited}, trained: {STEPS}"


def the_log_tells_the_board(end: End) -> str:
    """The event log alone says what the state says of tasks and credits."""
    told, known = (
        ({name: (row.state, row.attempt) for name, row in board.tasks.items()}, dict(board.credits))
        for board in (end.folded, board_of(end.state))
    )
    return "" if told == known else f"the log tells {told}, the state {known}"


def everything_ends_without_a_hand(end: End) -> str:
    """The node ends by itself, with success."""
    return "" if end.node_code == 0 else f"the node ended with code {end.node_code}"


def few_steps_are_lost(end: End, intervals: int) -> str:
    """At most those since the last snapshot.

    Args:
        end: Of the run.
        intervals: How many snapshot intervals the faults may have cost at once.
    """
    allowed = intervals * SNAPSHOT_EVERY
    return "" if end.lost_steps <= allowed else f"{end.lost_steps} steps were trained again, allowed are {allowed}"


INVARIANTS = (
    no_task_is_lost,
    the_registered_file_is_whole,
    nothing_is_done_twice,
    the_books_balance,
    the_log_tells_the_board,
    everything_ends_without_a_hand,
)
