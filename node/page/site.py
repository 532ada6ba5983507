"""What the page is made of."""

from __future__ import annotations

from dataclasses import dataclass

from paris.node.control.server import Answer
from paris.node.control.wishes import Wishes
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home
from paris.node.view.board import Board
from paris.node.view.course import Course


@dataclass(frozen=True)
class Site:
    """The running node, as its page sees it."""

    home: Home
    config: NodeConfig
    board: Board
    course: Course
    wishes: Wishes
    answer: Answer
    """Carries out a request, as on the control socket."""
