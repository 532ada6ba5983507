"""The page's application: which request gets what, and the headers of all answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import cast

from anyio import to_thread
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from paris.coordinator.errors import DatabaseError
from paris.coordinator.page.access import Viewer, base_of, viewer_of
from paris.coordinator.page.card import Cards
from paris.coordinator.page.metrics import metrics_of
from paris.coordinator.page.order_pages import OrderPages
from paris.coordinator.page.pages import Pages
from paris.coordinator.page.queries import BadQueryError, parse_query
from paris.coordinator.page.sessions import Sessions
from paris.coordinator.page.stream import Watch
from paris.coordinator.page.views import BOARD, PUBLIC, VIEWS, Site, View, card_facts
from paris.protocol.templates import asset

logger = logging.getLogger(__name__)
Handler = Callable[[Request], Response | Awaitable[Response]]
_ASSETS = Path(__file__).parent / "assets"
_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers would send the forms' Origin as "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_SUCH_PAGE = "There is no such page."


def make_app(site: Site) -> Starlette:
    """The page's application: /run and what is below it.

    Args:
        site: What the pages are made of.
    """
    handlers = _Handlers(site)
    orders = OrderPages(handlers.pages, Sessions(site.folder.path, time.monotonic), _html)
    routes = [
        Route("/run/stream", handlers.get_stream),
        Route("/run/assets/{name}", handlers.get_asset),
        Route("/run/card.png", handlers.get_card),
        Route("/run/pictures/{folder}/{name}", handlers.get_picture),
        Route("/run/order", handlers.for_organiser(orders.get)),
        Route("/run/order", handlers.for_organiser(orders.post), methods=["POST"]),
        Route("/metrics", handlers.for_organiser(handlers.get_metrics)),
        *(Route(f"/run/{view.path}".rstrip("/"), handlers.page_of(view)) for view in VIEWS),
    ]
    handlers_of_errors = {SQLAlchemyError: _unreadable, DatabaseError: _unreadable}
    compressed = Middleware(GZipMiddleware, minimum_size=1000)
    return Starlette(routes=routes, middleware=[compressed], exception_handlers=handlers_of_errors)


class _Handlers:
    def __init__(self, site: Site) -> None:
        self._site, self.pages = site, Pages(site)
        self._watch, self._cards = Watch(self.pages), Cards()

    def page_of(self, view: View) -> Callable[[Request], Response]:
        """The handler of a page; starlette runs it in a thread."""

        def get_page(request: Request) -> Response:
            shown = self._shown_to(request, view)
            if shown is None:
                return _refused(404, _NO_SUCH_PAGE)
            try:
                query = parse_query(request.query_params)
            except BadQueryError as error:
                return _refused(400, f"This address is not right: {error}.")
            return _html(self.pages.page(shown, query, base_of(request)), 200)

        return get_page

    def for_organiser(self, handler: Handler) -> Handler:
        """The handler, which others are told does not exist."""

        async def asked(request: Request) -> Response:
            if self._viewer(request) is not Viewer.ORGANISER:
                return _refused(404, _NO_SUCH_PAGE)
            if iscoroutinefunction(handler):
                return await cast(Awaitable[Response], handler(request))
            return await to_thread.run_sync(cast(Callable[[Request], Response], handler), request)

        return asked

    def get_metrics(self, request: Request) -> Response:
        """GET /metrics: figures for Prometheus."""
        return Response(metrics_of(self._site), media_type=CONTENT_TYPE_LATEST, headers=_HEADERS)

    async def get_stream(self, request: Request) -> Response:
        """GET /run/stream?view=PATH&seen=NUMBER&...: the page's changes, as they happen."""
        parameters = dict(request.query_params)
        path, seen = parameters.pop("view", ""), parameters.pop("seen", "")
        asked = next((view for view in VIEWS if view.path == path), None)
        view = None if asked is None or not asked.is_live else self._shown_to(request, asked)
        if view is None:
            return _refused(404, _NO_SUCH_PAGE)
        try:
            query = parse_query(parameters)
        except BadQueryError as error:
            return _refused(400, f"This address is not right: {error}.")
        if self._watch.is_full(for_organiser=self._viewer(request) is Viewer.ORGANISER):
            return _refused(503, "Too many watch this page now.", {"Retry-After": "60"})
        known = request.headers.get("last-event-id") or seen
        number = int(known) if known.isdecimal() and len(known) < 18 else 0
        messages = self._watch.messages(view, query, number, request.state.stopping)
        headers = {**_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(messages, media_type="text/event-stream", headers=headers)

    def get_asset(self, request: Request) -> Response:
        """GET /run/assets/NAME: the style sheet or the script."""
        file = _ASSETS / request.path_params["name"]
        if file.parent != _ASSETS or file.suffix not in _TYPES or not file.is_file() or self._viewer(request) is None:
            return _refused(404, _NO_SUCH_PAGE)
        headers = {**_HEADERS, "Cache-Control": "max-age=300"}
        return Response(asset(file), media_type=_TYPES[file.suffix], headers=headers)

    def get_card(self, request: Request) -> Response:
        """GET /run/card.png: the picture of the public page, for other sites."""
        if self._viewer(request) is None:
            return _refused(404, _NO_SUCH_PAGE)
        return _png(self._cards.png(card_facts(self._site, self._site.reader.snapshot())), max_age_s=300)

    def get_picture(self, request: Request) -> Response:
        """GET /run/pictures/FOLDER/NAME: a picture of the run directory."""
        viewer, where = self._viewer(request), request.path_params
        data = viewer and self._site.folder.picture(
            where["folder"], where["name"], is_public=viewer is not Viewer.ORGANISER
        )
        if not data:
            return _refused(404, _NO_SUCH_PAGE)
        return _png(data, max_age_s=60)

    def _viewer(self, request: Request) -> Viewer | None:
        """Who asks; None: somebody who may see nothing."""
        viewer = viewer_of(request)
        return viewer if viewer is Viewer.ORGANISER or self._site.folder.config.page.public_page else None

    def _shown_to(self, request: Request, view: View) -> View | None:
        """The view that a request for one gets: at /run the world gets the public page, and only that."""
        viewer = self._viewer(request)
        if viewer is Viewer.WORLD:
            return PUBLIC if view in (BOARD, PUBLIC) else None
        return view if viewer is Viewer.ORGANISER else None


def _unreadable(request: Request, error: Exception) -> Response:
    logger.error("The state cannot be read: %s.", error)
    return _refused(503, "The run's state cannot be read now; the page's log says why.", {"Retry-After": "30"})


def _png(data: bytes, max_age_s: int) -> Response:
    # Previews on other sites load the pictures of the public page.
    headers = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": f"max-age={max_age_s}"}
    return Response(data, media_type="image/png", headers={**_HEADERS, **headers})


def _html(text: str, status: int) -> Response:
    return HTMLResponse(text, status, {**_HEADERS, "Cache-Control": "no-store"})


def _refused(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(why + "\n", status, {**_HEADERS, **(headers or {})})
