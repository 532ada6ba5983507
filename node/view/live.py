"""The live view at a terminal: events as sentences, and below them the present state, drawn anew twice a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from paris.node.view.board import Board
from paris.node.view.events import PROGRESS, EventKind, sentence
from paris.node.view.screen import screen
from paris.protocol.clock import Clock

if TYPE_CHECKING:
    from rich.text import Text

_QUIET = (*PROGRESS, EventKind.SNAPSHOT, EventKind.TRAINER_READY)
"""Events that the lines below show."""


class LiveView:
    """Sentences above, the state below; the terminal is left as it was.

    Args:
        clock: UTC seconds.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clock = clock
        self._boards = {"": Board(clock)}
        """Of each of several nodes by its name; by the empty one what no node of several says."""
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=2, transient=True)
        self._live.start()

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Take the event into the state, and print its sentence."""
        self._board_of(fields.get("node", "")).note(kind, fields)
        if kind not in _QUIET:
            self._console.print(sentence(kind, fields), highlight=False, markup=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take the lines away meanwhile."""
        self._live.stop()
        yield
        self._live.start()

    def close(self) -> None:
        """Remove the lines."""
        self._live.stop()

    def _board_of(self, node: str) -> Board:
        return self._boards.setdefault(node, Board(self._clock))

    def _shown(self) -> list[tuple[str, Board]]:
        boards = list(self._boards.items())
        return [(node, board) for node, board in boards if node] or boards

    def _drawn(self) -> Text:
        from rich.text import Text

        has_blocks = self._console.encoding.lower().startswith("utf")
        columns = self._console.width - 1  # some terminals break a line that fills the last one
        lines = [
            line
            for node, board in self._shown()
            for line in screen(board.status, self._clock(), columns, has_blocks=has_blocks, node=node)
        ]
        return Text("\n".join(lines), no_wrap=True, overflow="crop")
