"""One node of a join with several devices, as a process: `python -m paris.node.device_node`.

join -> stdin    one JSON line: the order (`devices/order.py`); at its end the node stops
node -> stdout   one JSON line an event, as of `paris-node join --json`
node -> stderr   everything else
"""

from __future__ import annotations

import sys

import typer

from paris.node.devices.order import NodeOrder
from paris.node.join.joining import join
from paris.node.options import clear_errors
from paris.node.view import make_view
from paris.protocol.lifeline import lines_from_parent
from paris.protocol.logs import start_logging
from paris.protocol.streams import protect_streams

_PATIENCE_S = 60.0


def main() -> int:
    """Read the order, and join.

    Returns:
        The exit code of `paris-node join`.
    """
    protect_streams()
    line = next(lines_from_parent(_PATIENCE_S), None)
    if line is None:
        return 1
    order = NodeOrder.model_validate_json(line)
    start_logging(0, order.log_format)
    view = make_view(as_json=True)
    try:
        with clear_errors(view):
            join(order.request, view, max_tasks=order.max_tasks, task_wait_s=order.task_wait_s)
    except typer.Exit as end:
        return end.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
