"""What an event changes of the board, and the fold of events into boards. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from paris.coordinator.state.boards import Board, BoardRow, CreditRow, RunRow, VolunteerRow

_ROWS: dict[str, type[Any]] = {"tasks": BoardRow, "volunteers": VolunteerRow, "credits": CreditRow, "run": RunRow}
_STEPS = {"step", "loss"}
"""Fields that each heartbeat of a volunteer in training changes."""
_MOST_NAMED = 3
R = TypeVar("R")
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Changes:
    """For each part of the board, by a row's id: the fields that change, all of a new row; None: the row goes."""

    parts: Mapping[str, Mapping[str, Fields | None]] = field(default_factory=dict)
    """Without the parts in which nothing changes."""

    def __bool__(self) -> bool:
        return bool(self.parts)

    def then(self, later: Changes) -> Changes:
        """What an event and a later one change together."""
        parts = {name: dict(rows) for name, rows in self.parts.items()}
        for name, rows in later.parts.items():
            merged = parts.setdefault(name, {})
            for row_id, fields in rows.items():
                merged[row_id] = fields if fields is None else {**(merged.get(row_id) or {}), **fields}
        return Changes(parts)

    def to_json(self) -> str:
        """As text, for `from_json`."""
        return json.dumps(self.parts, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> Changes:
        """Of `to_json`'s text; None: of an event that changes nothing."""
        return cls({} if text is None else json.loads(text))


def fold(board: Board, log: Iterable[Changes]) -> Board:
    """The board after several events. Parts that none of them changes are shared.

    Args:
        board: Before them; it is left as it was.
        log: Of the events, oldest first.
    """
    parts: dict[str, dict[str, Any]] = {}
    for changes in log:
        for name, rows in changes.parts.items():
            if name not in parts:
                parts[name] = dict(getattr(board, name))
            _take(parts[name], _ROWS[name], rows)
    return replace(board, **parts)


def changes_between(old: Board, new: Board, *, with_steps: bool) -> Changes:
    """What leads from one board to another.

    Args:
        old: Before.
        new: After.
        with_steps: Also rows of which only step and loss differ, of which a run has one at each heartbeat.
    """
    found = {name: _between(getattr(old, name), getattr(new, name), with_steps) for name in _ROWS}
    return Changes({name: rows for name, rows in found.items() if rows})


def in_words(changes: Changes, after: Board) -> str:
    """A line for the log on changes that no event of a tick tells of.

    Args:
        changes: Not empty.
        after: The board after them.
    """
    tasks = [after.tasks[name] for name in changes.parts.get("tasks", {}) if name in after.tasks]
    named = [f"{row.task_id} {row.phase or row.state}, step {row.step}" for row in tasks[:_MOST_NAMED]]
    more = len(tasks) - len(named)
    named += [f"{more} more tasks"] if more else []
    return f"{'; '.join(named)}." if named else f"Changed: {', '.join(changes.parts)}."


def _take(rows: dict[str, Any], row_class: type[Any], changed: Mapping[str, Fields | None]) -> None:
    """Change the rows of a part."""
    for row_id, fields in changed.items():
        if fields is None:
            rows.pop(row_id, None)
        else:
            rows[row_id] = replace(rows[row_id], **fields) if row_id in rows else row_class(**fields)


def _between(old: Mapping[str, R], new: Mapping[str, R], with_steps: bool) -> dict[str, Fields | None]:
    found: dict[str, Fields | None] = {row_id: None for row_id in old if row_id not in new}
    for row_id, row in new.items():
        before = old.get(row_id)
        if before is row or before == row:
            continue
        known = {} if before is None else vars(before)
        fields = {key: value for key, value in vars(row).items() if key not in known or known[key] != value}
        if with_steps or not fields.keys() <= _STEPS:
            found[row_id] = fields
    return found
