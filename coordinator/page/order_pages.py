"""GET and POST /run/order: the form of an order, and the order itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from anyio import to_thread
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from paris.coordinator.decisions.rolling import steps_to_roll_back_to
from paris.coordinator.page.orders import FORMS, OrderFields, give
from paris.coordinator.page.pages import Pages
from paris.coordinator.page.sessions import Sessions
from paris.coordinator.state.orders import OrderKind
from paris.protocol.errors import ParisError
from paris.protocol.lanes import expert_of

logger = logging.getLogger(__name__)
_MAX_BODY_BYTES = 4096
Answer = Callable[[str, int], Response]
"""Makes an answer of HTML and a status."""


class OrderPages:
    """Handlers of requests that the organiser's machine makes; the caller has checked that.

    Args:
        pages: Renders.
        sessions: Says who may give orders.
        answer: Makes the answers.
    """

    def __init__(self, pages: Pages, sessions: Sessions, answer: Answer) -> None:
        self._pages, self._sessions, self._answer = pages, sessions, answer

    def get(self, request: Request) -> Response:
        """The form; nothing is ordered."""
        try:
            fields = OrderFields.model_validate(dict(request.query_params))
        except ValidationError:
            return self._answer(self._html(None, "There is no such order."), 400)
        if fields.kind not in FORMS:
            return self._answer(self._html(None, "This order has a command, and no form."), 400)
        return self._answer(self._html(fields, needs_token=not self._sessions.is_open(request)), 200)

    async def post(self, request: Request) -> Response:
        """Give the order; 403 without the right token, 4xx where it means nothing, and nothing is done."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY_BYTES:
                return self._answer(self._html(None, "That is too long for an order."), 413)
        return await to_thread.run_sync(self._post, request, body)

    def _post(self, request: Request, body: bytes) -> Response:
        try:
            sent = parse_qsl(body.decode(), keep_blank_values=False, max_num_fields=8)
            fields = OrderFields.model_validate(dict(sent))
        except (ValueError, ValidationError):
            return self._answer(self._html(None, "There is no such order."), 400)
        if not self._sessions.admits(request, fields.token):
            why = "The token is not right, or this form is not of this page. Nothing was ordered."
            return self._answer(self._html(fields, why, needs_token=True), 403)
        try:
            order = give(self._pages.site.folder.state, fields)
        except ParisError as error:
            response = self._answer(self._html(fields, f"{error.what} {error.next_step}"), 409)
        else:
            logger.info("Ordered on the page: %s %s.", order.kind, order.subject)
            response = self._answer(self._html(fields, is_done=True), 200)
        self._sessions.open(request, response)
        return response

    def _html(
        self, fields: OrderFields | None, problem: str = "", *, needs_token: bool = False, is_done: bool = False
    ) -> str:
        state = self._pages.site.reader.snapshot().state
        known = None if fields is None else state.volunteers.get(fields.subject)
        is_roll_back = fields is not None and fields.kind is OrderKind.ROLL_BACK
        steps = steps_to_roll_back_to(state, expert_of(fields.subject)) if fields and is_roll_back else []
        more: dict[str, Any] = {
            "form": None if fields is None else FORMS.get(fields.kind),
            "fields": fields,
            "name": "" if known is None else known.want.name,
            "steps": steps[::-1],
            "problem": problem,
            "needs_token": needs_token,
            "is_done": is_done,
            "token_file": "keys/page.token",
        }
        return self._pages.plain("Order", "order.html", more)
