"""The ASGI application: finds the handler, identifies the user, bounds the body, counts bytes, formats refusals."""

from __future__ import annotations

import errno
import logging
import re
import sqlite3
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import cast

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from paris.coordinator.hub.accounts.auth import ANONYMOUS, Users, admin_token
from paris.coordinator.hub.accounts.tickets import TicketOffice, load_secret
from paris.coordinator.hub.accounts.traffic import Traffic
from paris.coordinator.hub.addresses import ROUTES
from paris.coordinator.hub.bodies import bounded_body, write_in_thread
from paris.coordinator.hub.context import Call, Hub
from paris.coordinator.hub.errors import Refusal
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.repositories.sweep import sweep_at_start, sweep_while_running
from paris.coordinator.hub.routing import find_route
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.store import Store

_log = logging.getLogger(__name__)
_NOT_IN_HEADERS = re.compile(rb"[^\x20-\x7e\x80-\xff]")


class HubApp:
    """The application; can be mounted below a path of another one.

    Args:
        hub: The parts of the Hub; see `create_app`.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._swept_at_s = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        meter = _Meter(receive, send)
        request = Request(scope, meter.receive)
        call = Call(self.hub, request, {}, ANONYMOUS)
        try:
            response = await self._answer(call)
        except ClientDisconnect:
            return
        except Refusal as refusal:
            response = refuse(refusal)
        except OSError as error:
            response = _out_of_space(error)
        except sqlite3.OperationalError as error:
            response = _database_full(error)
        finally:
            if call.body_file is not None:
                call.body_file.close()
        _log.debug("%s %s: %d", request.method, request.url.path, response.status_code)
        try:
            await response(scope, meter.receive, meter.send)
        finally:
            await self._count(call, meter)

    async def _answer(self, call: Call) -> Response:
        route, call.params = find_route(ROUTES, call.request.method, call.raw_path)
        call.user = await call.in_thread(self.hub.users.identify, call.request.headers.get("authorization"))
        if route.streams:
            return await cast(Awaitable[Response], route.handler(call))
        await call.in_thread(route.check, call)
        if not route.is_commit:
            call.body = b"".join([chunk async for chunk in bounded_body(call, self.hub.limits.max_request_bytes)])
            return cast(Response, await call.in_thread(route.handler, call))
        call.body_file = await call.in_thread(self.hub.blobs.open_unnamed)
        chunks = bounded_body(call, self.hub.limits.max_commit_bytes)
        await write_in_thread(call, chunks, call.body_file.writelines)
        return cast(Response, await call.in_thread(route.handler, call, limiter=self.hub.commit_limiter))

    async def _count(self, call: Call, meter: _Meter) -> None:
        traffic = self.hub.traffic
        key = (call.traffic_user or call.user.name, call.repo_label, call.part_label)
        traffic.add(key, meter.received_bytes, meter.sent_bytes)
        if traffic.is_due():
            await to_thread.run_sync(traffic.save)
        now_s = time.monotonic()
        if now_s - self._swept_at_s > self.hub.limits.sweep_every_s:
            self._swept_at_s = now_s
            await to_thread.run_sync(sweep_while_running, self.hub.store, self.hub.blobs, call.now, self.hub.limits)

    def close(self) -> None:
        """Save the traffic counts and close the database."""
        self.hub.traffic.save()
        self.hub.store.close()


class _Meter:
    """Counts the body bytes of one request and its response; makes the response's headers valid."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.received_bytes = 0
        self.sent_bytes = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self.received_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [(name, _header_value(value)) for name, value in message["headers"]]
        await self._send(message)
        self.sent_bytes += len(message.get("body", b""))


def create_app(data_dir: Path, *, open_registration: bool = False, limits: HubLimits | None = None) -> HubApp:
    """Open a data folder and build the application on it.

    Only one process may use a folder at a time (`HubServer` locks it). The caller calls `close()` at the end.

    Args:
        data_dir: Database, contents, keys and tokens; made if missing, with the administrator's token in `admin.token`.
        open_registration: Whether an unknown well-formed token registers a volunteer (auth.py).
        limits: Bounds on requests and storage.
    """
    limits = limits or HubLimits()
    data_dir.mkdir(parents=True, exist_ok=True)
    admin_token(data_dir)
    store = Store(data_dir / "hub.sqlite3")
    blobs = BlobStore(data_dir)
    sweep_at_start(store, blobs, time.time(), limits.pending_life_s)
    users = Users(data_dir, store, open_registration=open_registration, max_volunteers=limits.max_volunteers)
    tickets = TicketOffice(load_secret(data_dir / "tickets.key"))
    return HubApp(Hub(store, blobs, users, tickets, Traffic(store), limits))


def refuse(refusal: Refusal) -> Response:
    """A refusal in the form of the stock client: headers decide its exception, JSON has the message."""
    message = refusal.what[:500].encode("ascii", errors="replace").decode()
    headers = {"X-Error-Message": message, **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return JSONResponse({"error": refusal.what}, refusal.status, headers)


def _header_value(value: bytes) -> bytes:
    """A value with which the server can answer; any other, such as one that ends with a space, ends the connection."""
    return _NOT_IN_HEADERS.sub(b"?", value).strip()


def _out_of_space(error: OSError) -> Response:
    """Answer 507 for a full disk: the client does not retry this status."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    _log.error("The Hub's disk is full: %s", error)
    return refuse(Refusal(507, "The Hub's disk is full; nothing was stored. Contact its administrator."))


def _database_full(error: sqlite3.OperationalError) -> Response:
    if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
        raise error
    return _out_of_space(OSError(errno.ENOSPC, str(error)))
