"""Serves the page: in front of the embedded Hub, or alone."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from paris.coordinator.hub.app import HubApp
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.server import bind, make_server, signals_only_stop
from paris.coordinator.page.front import Front


def serve_alone(listen: str, run: Path, run_id: str) -> None:
    """Serve the page until SIGTERM or SIGINT; a line `page ready at http://...` is printed when it answers.

    Args:
        listen: HOST:PORT.
        run: The run directory.
        run_id: Its run.

    Raises:
        PortTakenError: The port is in use.
        HubStartError: It cannot listen there.
    """
    address = urlsplit(f"http://{listen}")
    host = address.hostname or ""
    with bind(host, address.port or 0) as listening:
        server = make_server(Front(lambda: page_of(run, run_id)), HubLimits())
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}/run"
        server.on_ready = lambda: print(f"page ready at {url}", flush=True)
        with signals_only_stop(server):
            server.run(sockets=[listening])


def page_of(run: Path, run_id: str, hub: HubApp | None = None) -> ASGIApp:
    """The page's application; its libraries are imported here.

    Args:
        run: The run directory.
        run_id: Its run.
        hub: The embedded Hub, if the page is in front of it.
    """
    import time

    from paris.coordinator.page.app import make_app
    from paris.coordinator.page.folder import RunFolder
    from paris.coordinator.page.reading import RunReader
    from paris.coordinator.page.views import Site

    folder = RunFolder.open(run, run_id)
    hub_bytes = None if hub is None else hub.hub.traffic.totals
    return make_app(Site(folder, RunReader(folder.state), time.time, hub_bytes))
