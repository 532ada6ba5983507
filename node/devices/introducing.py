"""Which run a join with several devices is for, and what the volunteer is told of it before the nodes start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from paris.node.hub.account import account_token, ask_if_refused, is_at_terminal
from paris.node.hub.tokens import hub_token
from paris.node.join.joining import Introduce, introduce_by
from paris.node.join.request import Request
from paris.node.join.search import Search, is_first_at_a_terminal, wait_for_answer
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home
from paris.node.machine.machine import Machine
from paris.node.retry import StopSignal
from paris.node.view import View
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.signing import Identity


def run_of(
    request: Request,
    config: NodeConfig,
    identity: Identity,
    machines: Sequence[Machine],
    *,
    view: View,
    stop: StopSignal,
    introduce: Introduce | None,
) -> str:
    """The id of the run; at the first join of it the volunteer is told of it, and asked for the Hub's token if need be.

    Args:
        request: What to join.
        config: The volunteer's settings.
        identity: Of the join.
        machines: Of the nodes.
        view: Shows why it has to wait.
        stop: Ends a wait.
        introduce: Tells of the run.

    Raises:
        StoppedError: While it waited, or the volunteer does not want to join.
        ParisError: RUN is no run, or the run cannot be joined.
    """
    home = Home(request.home)
    token = hub_token(home.path, config, os.environ, config.hub_endpoint or PUBLIC_ENDPOINT)
    search = Search(request.run, request.run_id, token, home, config, view)
    tries = 1 if is_first_at_a_terminal(home) else config.max_tries
    run_id = wait_for_answer(search.address, view=view, pause=stop.pause, max_tries=tries).run_id
    if introduce is None or home.agreed(run_id).exists():
        return run_id
    run, swarm = wait_for_answer(search.connect, view=view, pause=stop.pause, max_tries=tries)
    try:
        introduce_by(introduce, run, swarm, _as_one(machines, config, home))
    finally:
        swarm.close()
    if is_at_terminal():
        endpoint = config.hub_endpoint or run.payload.hub_endpoint
        with view.held():
            ask_if_refused(home.path, endpoint, account_token(home.path, config, identity, endpoint))
    return run_id


def _as_one(machines: Sequence[Machine], config: NodeConfig, home: Home) -> Machine:
    """All devices in one description: what is measured is measured on the first, and what fits fits into the least."""
    parts = [machine.hardware for machine in machines]
    label = f"{len(parts)} devices: {', '.join(part.label for part in parts)}"
    least = {name: min(getattr(part, name) for part in parts) for name in ("memory_bytes", "disk_bytes")}
    return Machine(home, config, replace(parts[0], label=label, **least))
