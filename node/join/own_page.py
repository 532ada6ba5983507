"""Serves the node's own page while it runs, where the settings say so, and tells the volunteer its address."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from paris.node.join.answers import Answers
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home
from paris.node.view import View
from paris.node.view.board import Board
from paris.node.view.course import Course
from paris.protocol.streams import show_secret


@dataclass(frozen=True)
class OwnPage:
    """The running node as its page will show it."""

    answers: Answers
    board: Board
    course: Course
    view: View

    @contextlib.contextmanager
    def served(self, home: Home, config: NodeConfig) -> Iterator[None]:
        """Serve it during the block, or do nothing; its libraries are imported only where it is wanted.

        Args:
            home: The node's folder.
            config: Whether, and where.

        Raises:
            PageError: It cannot be served there.
        """
        if not config.page:
            yield
            return
        from paris.node.page.server import serving
        from paris.node.page.site import Site

        site = Site(home, config, self.board, self.course, self.answers.wishes, self.answers)
        with serving(site) as address:
            with self.view.held():  # not an event: events are logged, and the log must not have the token
                show_secret(f"This node's page: {address}", sys.stderr)
            yield
