"""Runs looks that may fail or hang: what they raise becomes a finding, and a time limit ends the wait for them."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from paris.node.doctor.finding import Finding, failed, problem

_logger = logging.getLogger(__name__)
_LIMIT_S = 30.0


@dataclass(frozen=True)
class Look:
    """Something to look at."""

    name: str
    """Of its finding where it fails."""
    see: Callable[[], Iterable[Finding]]
    limit_s: float = _LIMIT_S
    """Longest wait for it."""


def look_at(look: Look) -> list[Finding]:
    """The findings of one look; what it raises, and an end of its time, are findings too."""
    (findings,) = look_at_all([look])
    return findings


def look_at_all(looks: Sequence[Look]) -> Iterator[list[Finding]]:
    """The findings of several looks that run at the same time, in the order given.

    A look that hangs is left behind in its thread, which does not keep the process alive.
    """
    answers: list[queue.SimpleQueue[list[Finding]]] = [queue.SimpleQueue() for _ in looks]
    ends = [time.monotonic() + look.limit_s for look in looks]
    for look, answer in zip(looks, answers, strict=True):
        threading.Thread(target=_see, args=(look, answer), name=f"look-{look.name}", daemon=True).start()
    for look, answer, end in zip(looks, answers, ends, strict=True):
        try:
            yield answer.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            what = f"Nothing was found out within {look.limit_s:.0f} s."
            yield [problem(look.name, what, "Look again when the machine and the network are less busy.")]


def _see(look: Look, answer: queue.SimpleQueue[list[Finding]]) -> None:
    try:
        answer.put(list(look.see()))
    except Exception as error:  # whatever is wrong here is what is looked for
        _logger.debug("The look at %s failed", look.name, exc_info=True)
        answer.put([failed(look.name, error)])
