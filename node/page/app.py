"""The page's application: which request gets what. `guard.py` has looked at all of them."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from anyio import to_thread
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from paris.node.errors import SettingsError
from paris.node.page.content import TEMPLATE, Content
from paris.node.page.controls import ControlForm, request_of
from paris.node.page.guard import ASSETS, DOOR, METRICS, Bound, Guard
from paris.node.page.metrics import metrics_of
from paris.node.page.rendering import Renderer
from paris.node.page.sessions import LIFE_S, Sessions
from paris.node.page.site import Site
from paris.node.page.stream import Watch
from paris.protocol.templates import asset

_logger = logging.getLogger(__name__)
_MAX_BODY_BYTES = 2048
_BODY_PATIENCE_S = 10.0
_FILES = Path(__file__).parent / "assets"
_TYPES = {"page.css": "text/css", "page.js": "text/javascript"}
_STEP = re.compile(r"[0-9]{1,9}", re.ASCII)
_SEE_OTHER = 303
_WRONG_TOKEN = "This token is not right: the node has another one since it was started again, say."


class EntryForm(BaseModel):
    """The fields of the door's form."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    token: str = Field(max_length=200)


class OwnPage:
    """The handlers.

    Args:
        site: The node.
        bound: Where the page listens.
        sessions: The token, and who has shown it.
    """

    def __init__(self, site: Site, bound: Bound, sessions: Sessions) -> None:
        self._site, self._bound, self._sessions = site, bound, sessions
        self._renderer, self._content = Renderer(), Content(site)
        self.watch = Watch(lambda: self._renderer.fragments(TEMPLATE, self._content.context()))

    @property
    def app(self) -> ASGIApp:
        """The application, behind its guard."""
        routes = [
            Route("/", self.get_page),
            Route(DOOR, self.post_token, methods=["POST"]),
            Route("/out", self.post_out, methods=["POST"]),
            Route("/control", self.post_control, methods=["POST"]),
            Route("/stream", self.get_stream),
            Route(METRICS, self.get_metrics),
            Route("/pictures/{task_id}/{step}.png", self.get_picture),
            Route(ASSETS + "{name}", self.get_asset),
        ]
        return Guard(Starlette(routes=routes), self._bound, self._sessions)

    async def get_page(self, request: Request) -> Response:
        """GET /: the page, or the door; `?token=`, of the printed address, opens a session and goes on without it."""
        token = request.query_params.get("token")
        if token is not None:
            return self._admitted(token)
        if not self._sessions.is_open(request.cookies.get(self._bound.cookie)):
            return self._door("", 401)
        step = request.query_params.get("step", "")
        return HTMLResponse(await to_thread.run_sync(self._html, int(step) if _STEP.fullmatch(step) else None))

    async def post_token(self, request: Request) -> Response:
        """POST /enter: as the printed address does, for who has the token alone."""
        form = await self._form(request, EntryForm)
        return form if isinstance(form, Response) else self._admitted(form.token)

    async def post_out(self, request: Request) -> Response:
        """POST /out: end the session."""
        self._sessions.close(request.cookies.get(self._bound.cookie))
        response = RedirectResponse("/", _SEE_OTHER)
        response.delete_cookie(self._bound.cookie, httponly=True, samesite="strict")
        return response

    async def post_control(self, request: Request) -> Response:
        """POST /control: pause, resume, finish or leave, as on the control socket."""
        form = await self._form(request, ControlForm)
        if isinstance(form, Response):
            return form
        try:
            wanted = request_of(form, time.time())
        except SettingsError as error:
            return self._message(f"{error.what} {error.next_step}", 400)
        reply = await to_thread.run_sync(self._site.answer, wanted)
        if not reply.is_ok:
            return self._message(f"{reply.text} {reply.next_step}", 409)
        _logger.info("Asked on the page: %s. %s", form.command, reply.text)
        return RedirectResponse("/", _SEE_OTHER)

    async def get_stream(self, request: Request) -> Response:
        """GET /stream: the page's changes, as they happen."""
        if self.watch.is_full:
            return PlainTextResponse("Too many windows show this page now.\n", 503, {"Retry-After": "60"})
        session = request.cookies.get(self._bound.cookie)
        messages = self.watch.messages(lambda: self._sessions.is_open(session))
        return StreamingResponse(messages, media_type="text/event-stream")

    async def get_metrics(self, request: Request) -> Response:
        """GET /metrics: the node's figures."""
        return Response(await to_thread.run_sync(metrics_of, self._site), media_type=CONTENT_TYPE_LATEST)

    async def get_picture(self, request: Request) -> Response:
        """GET /pictures/TASK/STEP.png: what an expert drew after so many steps."""
        task_id, step = request.path_params["task_id"], request.path_params["step"]
        data = None
        if _STEP.fullmatch(step):
            data = await to_thread.run_sync(self._content.grid, task_id, int(step))
        if data is None:
            return PlainTextResponse("There is no such picture.\n", 404)
        return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=60"})

    async def get_asset(self, request: Request) -> Response:
        """GET /assets/NAME: the style sheet or the script."""
        name = request.path_params["name"]
        if name not in _TYPES:
            return PlainTextResponse("There is no such file.\n", 404)
        return Response(asset(_FILES / name), media_type=_TYPES[name])

    def _html(self, step: int | None) -> str:
        return self._renderer.page(TEMPLATE, self._content.context(step))

    def _admitted(self, token: str) -> Response:
        if not self._sessions.is_right(token):
            if self._sessions.may_log_wrong():
                _logger.warning("The page was opened with a wrong token.")
            return self._door(_WRONG_TOKEN, 403)
        response = RedirectResponse("/", _SEE_OTHER)
        session = self._sessions.open()
        response.set_cookie(self._bound.cookie, session, max_age=LIFE_S, httponly=True, samesite="strict")
        return response

    def _door(self, why: str, status: int) -> Response:
        return HTMLResponse(self._renderer.page("door.html", {"why": why}), status)

    def _message(self, text: str, status: int) -> Response:
        return HTMLResponse(self._renderer.page("message.html", {"text": text}), status)

    async def _form(self, request: Request, kind: type[Any]) -> Any:
        """The form that was sent, or the refusal of one that is none."""
        body = b""
        try:
            async with asyncio.timeout(_BODY_PATIENCE_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > _MAX_BODY_BYTES:
                        return self._message("That is too long for this form. Nothing was done.", 413)
            return kind.model_validate(dict(parse_qsl(body.decode(), max_num_fields=8)))
        except TimeoutError:
            return self._message("The form did not arrive in time. Nothing was done.", 408)
        except (ValueError, ValidationError):
            return self._message("There is no such form. Nothing was done.", 400)
