"""Answers the control socket of a join with several devices: it asks each node, and puts the replies together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from paris.node.control.client import ask
from paris.node.control.messages import Reply, Request
from paris.node.devices.process import DeviceNode
from paris.node.errors import ControlError, NotRunningError
from paris.protocol.version import SOFTWARE_VERSION


class FanOut:
    """Passes requests on.

    Args:
        nodes: Of the join; those that have ended are left out.
    """

    def __init__(self, nodes: Sequence[DeviceNode]) -> None:
        self._nodes = nodes

    def __call__(self, request: Request) -> Reply:
        """The reply to one request, of all nodes: refused if one of them refuses it, though others may have done it."""
        told: list[tuple[str, str]] = []
        states: list[dict[str, Any]] = []
        refused: list[tuple[str, ControlError | NotRunningError]] = []
        for node in self._nodes:
            if not node.is_running:
                continue
            try:
                reply = ask(node.home, request)
            except (ControlError, NotRunningError) as error:
                refused.append((node.name, error))
                states.append({"node": node.name, "state": "joining"})
            else:
                told.append((node.name, reply.text))
                states.append({"node": node.name, **reply.status})
        if refused and request.command != "status":
            told += [(name, error.what) for name, error in refused]
            return Reply(is_ok=False, text=_together(told), next_step=_next_step(refused[0][1]))
        status = {"nodes": states, "pid": os.getpid(), "node_version": SOFTWARE_VERSION}
        return Reply(text=_together(told), status=status)


def _next_step(error: ControlError | NotRunningError) -> str:
    return "It is starting: try again." if isinstance(error, NotRunningError) else error.next_step


def _together(told: Sequence[tuple[str, str]]) -> str:
    """What the nodes say; once, where all say the same."""
    texts = {text for _, text in told}
    return texts.pop() if len(texts) == 1 else " ".join(f"{name}: {text}" for name, text in told)
