"""The page's application: a form and its answer. It answers this machine alone, and draws for its own page alone."""

from __future__ import annotations

from urllib.parse import urlsplit

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from paris.coordinator.page.access import Viewer, viewer_of
from paris.coordinator.trying.asking import MOST_BODY_BYTES, parse_form
from paris.coordinator.trying.messages import About, Ask, Drawn, Refused
from paris.coordinator.trying.process import BUSY, ModelProcess
from paris.coordinator.trying.rendering import ASSETS, make_environment

_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers would send the form's Origin as "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_app(process: ModelProcess, about: About, model: str) -> Starlette:
    """The page's application: /try and what is below it.

    Args:
        process: Draws.
        about: Its model.
        model: Where that is from, in words.
    """
    handlers = _Handlers(process, about, model)
    routes = [
        Route("/", handlers.get_start),
        Route("/try", handlers.get_form),
        Route("/try", handlers.post_form, methods=["POST"]),
        Route("/try/assets/{name}", handlers.get_asset),
    ]
    return Starlette(routes=routes)


class _Handlers:
    def __init__(self, process: ModelProcess, about: About, model: str) -> None:
        self._process, self._about, self._model = process, about, model
        self._template = make_environment().get_template("try.html")

    async def get_start(self, request: Request) -> Response:
        """GET /: the page is at /try."""
        return _refusal(request) or RedirectResponse("/try", headers=_HEADERS)

    async def get_form(self, request: Request) -> Response:
        """GET /try: the form."""
        return _refusal(request) or self._page(200, {}, [])

    async def post_form(self, request: Request) -> Response:
        """POST /try: the form with its picture, or with what is wrong."""
        if (refusal := _refusal(request)) is not None:
            return refusal
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY_BYTES:
                return _refused(413, "This form is too long.")
        ask, sent, wrong = parse_form(body)
        if ask is None:
            return self._page(400, sent, wrong)
        drawn = await to_thread.run_sync(self._process.draw, ask)
        if isinstance(drawn, Refused):
            return self._page(503 if drawn is BUSY else 422, sent, [drawn.message])
        return self._page(200, sent, [], ask, drawn)

    async def get_asset(self, request: Request) -> Response:
        """GET /try/assets/NAME: the style sheet or the script."""
        file = ASSETS / request.path_params["name"]
        if file.parent != ASSETS or file.suffix not in _TYPES or not file.is_file():
            return _refused(404, "There is no such file.")
        return _refusal(request) or Response(file.read_bytes(), media_type=_TYPES[file.suffix], headers=_HEADERS)

    def _page(
        self, status: int, sent: dict[str, str], wrong: list[str], ask: Ask | None = None, drawn: Drawn | None = None
    ) -> Response:
        def source(number: int) -> str:
            return f"data:image/png;base64,{drawn.stages[number].picture}" if drawn is not None else ""

        context = {"about": self._about, "model": self._model, "sent": sent, "wrong": wrong}
        html = self._template.render(**context, ask=ask, drawn=drawn, source=source)
        return HTMLResponse(html, status, _HEADERS)


def _refusal(request: Request) -> Response | None:
    """Why a request is not answered: it is from elsewhere, or a page of strangers sent it."""
    if viewer_of(request) is not Viewer.ORGANISER:
        return _refused(403, "This page answers this machine alone, at its own address.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return _refused(403, "Another page sent this.")
    return None


def _refused(status: int, why: str) -> Response:
    return PlainTextResponse(why + "\n", status, _HEADERS)
