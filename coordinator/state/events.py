"""The run's event log, written for people: a kind and one line of text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What an event is about. The values are stored in the log and printed by `serve --json`."""

    OPENED = "opened"
    UPLOADED = "uploaded"
    SERVING = "serving"
    JOINED = "joined"
    LEASED = "leased"
    RESUMED = "resumed"
    REVOKED = "revoked"
    SUBMITTED = "submitted"
    RETRY = "retry"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    STORED = "stored"
    """A verified leg's state is in the model repo; the next leg starts from it."""
    CHALLENGED = "challenged"
    ANSWERED = "answered"
    AUDIT = "audit"
    """Another volunteer is asked to train a stretch of handed-in work again, or has."""
    REGISTERED = "registered"
    ROUTER = "router"
    ORDER = "order"
    """The organiser ordered something beside the service."""
    PROBLEM = "problem"
    """Something failed and will be tried again."""
    PROGRESS = "progress"
    """What no other event tells of, such as the steps of tasks in training: for the run's history, not for people."""


@dataclass(frozen=True)
class Event:
    """One line of the log."""

    kind: EventKind
    text: str
