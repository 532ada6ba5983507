"""The front of the Hub in a world of faults: it answers the next requests itself, late, or not at all."""

from __future__ import annotations

import random
import threading

from portal import HTML, PAGE, Portal

MODES = ("429", "5xx", "HTML", "late", "cut")


class HubFront(Portal):
    """In front of a Hub.

    Args:
        hub: Its address.
        random: Chooses statuses and delays.
    """

    def __init__(self, hub: str, random: random.Random) -> None:
        super().__init__(hub)
        self._random = random
        self._lock = threading.Lock()
        self._fault, self.left = "", 0
        """What the next requests meet, and how many of them."""

    def answer_next(self, mode: str, requests: int) -> None:
        """Let the next requests meet a fault: one of `MODES`."""
        with self._lock:
            self._fault, self.left = mode, requests

    def own_answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes] | None:
        """As `Portal`; "cut" ends the connection without an answer."""
        with self._lock:
            if not self.left:
                return None
            self.left -= 1
            mode = self._fault
        if mode == "429":
            return 429, {"Retry-After": "1"}, b"{}"
        if mode == "5xx":
            return self._random.choice((500, 502, 503, 504)), {}, b"<html>Bad gateway</html>"
        if mode == "HTML":
            return 200, HTML, PAGE
        if mode == "cut":
            raise ConnectionAbortedError
        threading.Event().wait(self._random.uniform(0.5, 3.0))
        return None

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: the Hub behind may be down, and requests may be cut."""
