"""What a running node answers on its control socket."""

from __future__ import annotations

import os

from paris.node.control.messages import Reply, Request
from paris.node.control.wishes import Wishes
from paris.node.view.board import Board
from paris.protocol.version import SOFTWARE_VERSION


class Answers:
    """Carries out requests: it writes the wishes, and reads the board.

    Args:
        wishes: Of the running node.
        board: Its present state.
    """

    def __init__(self, wishes: Wishes, board: Board) -> None:
        self.wishes, self._board = wishes, board

    def __call__(self, request: Request) -> Reply:
        """The reply to one request; called from the socket's threads."""
        if request.command == "leave" and self._board.status.state == "joining":
            return Reply(
                is_ok=False,
                text="The node has not reached the run's peers yet, so it cannot give its task back.",
                next_step="Stop it (Ctrl-C), or try again when it has joined.",
            )
        text = self._done(request)
        status = self._board.status.model_dump(mode="json")
        return Reply(text=text, status={**status, "pid": os.getpid(), "node_version": SOFTWARE_VERSION})

    def _done(self, request: Request) -> str:
        wishes = self.wishes
        match request.command:
            case "pause":
                wishes.pause(request.until)
            case "resume":
                wishes.resume()
            case "finish":
                wishes.finish()
                return "The node hands in its leg at the next snapshot, or finishes its task, and ends."
            case "leave":
                wishes.leave()
                return "The node gives its task back and ends."
            case "status":
                return self._board.status.last
        pause = wishes.why_paused()
        return "Training goes on." if pause is None else f"Paused: {pause.text}."
