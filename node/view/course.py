"""The course of a node's work, for its page: the loss by step, and what has happened."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Any, NamedTuple

from paris.node.view.events import PROGRESS, EventKind, sentence
from paris.protocol.clock import Clock
from paris.protocol.secrets import redact

MOST_POINTS = 400
MOST_HAPPENINGS = 50


class Happening(NamedTuple):
    """One event in words."""

    at: float
    """UTC seconds."""
    kind: str
    text: str


class CourseSoFar(NamedTuple):
    """What a course holds at one moment."""

    points: tuple[tuple[int, float], ...]
    """Step and loss of the present task, oldest first."""
    happenings: tuple[Happening, ...]
    """Newest first."""


class Course:
    """Takes events and keeps the course; safe to use from several threads.

    Args:
        clock: UTC seconds.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._points: list[tuple[int, float]] = []
        self._happenings: deque[Happening] = deque(maxlen=MOST_HAPPENINGS)

    @property
    def so_far(self) -> CourseSoFar:
        """The present course."""
        with self._lock:
            return CourseSoFar(tuple(self._points), tuple(reversed(self._happenings)))

    def note(self, kind: EventKind, fields: dict[str, Any]) -> None:
        """Take one event into account."""
        with self._lock:
            if kind is EventKind.LEASED:
                self._points.clear()
            if kind not in PROGRESS:
                text = redact(sentence(kind, fields))
                self._happenings.append(Happening(self._clock(), kind.value, text))
            elif kind is EventKind.TRAINING and fields["loss"] is not None:
                self._points = with_point(self._points, (fields["step"], fields["loss"]))


def with_point(points: list[tuple[int, float]], point: tuple[int, float]) -> list[tuple[int, float]]:
    """A curve with one more point; every second one goes when there are more than `MOST_POINTS`.

    Args:
        points: Step and loss, by step.
        point: The newest. Points from its step on are of a training that was taken up again before them.

    Returns:
        The new curve, without the point where its loss is not finite: that has no place on an axis.
    """
    kept = [(step, loss) for step, loss in points if step < point[0]]
    if len(kept) >= MOST_POINTS:
        kept = kept[::2]
    return [*kept, point] if math.isfinite(point[1]) else kept
