"""`paris-coord try MODEL`: the page beside a model, on this machine."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from paris.coordinator.children import Children
from paris.coordinator.console import say
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.server import bind, make_server, signals_only_stop
from paris.coordinator.trying.app import make_app
from paris.coordinator.trying.messages import Source
from paris.coordinator.trying.process import ModelProcess

_HOST = "127.0.0.1"


def serve(source: Source, port: int) -> None:
    """Load the model and serve the page until SIGTERM or SIGINT; a line `try ready at http://...` is printed.

    Args:
        source: The model.
        port: 0 for any free one.

    Raises:
        PortTakenError: The port is in use.
        WorkerError: The model cannot be loaded.
    """
    with bind(_HOST, port) as listening, TemporaryDirectory(prefix="paris-try-") as logs:
        children = Children(Path(logs))
        try:
            process = ModelProcess(children, source)
            say(f"Loading {where(source)} ...")
            server = make_server(make_app(process, process.start(), where(source)), HubLimits())
            url = f"http://{_HOST}:{listening.getsockname()[1]}/try"
            server.on_ready = lambda: print(f"try ready at {url}", flush=True)
            with signals_only_stop(server):
                server.run(sockets=[listening])
        finally:
            children.stop()


def where(source: Source) -> str:
    """Where the model is from, in words."""
    return source.model if source.revision is None else f"{source.model} at {source.revision}"
