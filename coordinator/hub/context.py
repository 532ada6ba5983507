"""The arguments of a handler: one request with its user, and the parts of the Hub."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar, TypeVarTuple
from urllib.parse import parse_qs, quote, urlencode

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from paris.coordinator.hub.accounts.auth import User, Users
from paris.coordinator.hub.accounts.reservations import Reservations
from paris.coordinator.hub.accounts.tickets import TicketOffice
from paris.coordinator.hub.accounts.traffic import Traffic
from paris.coordinator.hub.errors import Refusal, bad_request
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.store import Store

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_PARALLEL_COMMITS = 2


@dataclass(frozen=True)
class Hub:
    """The parts of one Hub."""

    store: Store
    blobs: BlobStore
    users: Users
    tickets: TicketOffice
    traffic: Traffic
    limits: HubLimits
    reservations: Reservations = field(default_factory=Reservations)
    clock: Callable[[], float] = time.time
    commit_limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_PARALLEL_COMMITS))
    """Bounds the memory of commits: each holds one of its files at a time."""


@dataclass
class Call:
    """One request, with the parameters of its route and its user."""

    hub: Hub
    request: Request
    params: dict[str, str]
    user: User
    body: bytes = b""
    body_file: BinaryIO | None = None
    """A commit's body, which may be too large for the memory."""
    repo_label: str = ""
    """Repository of the traffic counts."""
    part_label: str = "(api)"
    """Part of the repository: the first folder of the file, or a word in brackets."""
    traffic_user: str = ""
    """User of the traffic counts, for requests without a token."""
    query: dict[str, list[str]] = field(init=False)
    _reader: sqlite3.Connection | None = None

    def __post_init__(self) -> None:
        self.query = parse_qs(self.request.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    @property
    def now(self) -> float:
        """UTC seconds."""
        return self.hub.clock()

    @property
    def reader(self) -> sqlite3.Connection:
        """Database connection for reading, until the end of `in_thread`."""
        if self._reader is None:
            self._reader = self.hub.store.borrow_reader()
        return self._reader

    async def in_thread(self, work: Callable[[*Ts], T], *arguments: *Ts, limiter: CapacityLimiter | None = None) -> T:
        """Do blocking work in a thread; then other requests may use this one's `reader`."""
        try:
            return await to_thread.run_sync(work, *arguments, limiter=limiter)
        finally:
            if self._reader is not None:
                self.hub.store.return_reader(self._reader)
                self._reader = None

    @property
    def base_url(self) -> str:
        """URL of the Hub as seen by the client, without a trailing slash."""
        # Not `request.base_url`, which omits the path below which another application mounts this one.
        url = self.request.url
        return f"{url.scheme}://{url.netloc}{self.request.scope.get('root_path', '')}"

    @property
    def raw_path(self) -> str:
        """Encoded path, without the query and without the path below which another application mounts the Hub."""
        scope = self.request.scope
        path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        return path.decode("latin-1").partition("?")[0].removeprefix(scope.get("root_path", ""))

    def flag(self, name: str) -> bool:
        """A boolean parameter; False when absent."""
        return self.first(name).lower() in ("1", "true")

    def first(self, name: str) -> str:
        """A parameter, empty when absent."""
        return self.query.get(name, [""])[0]

    def number(self, name: str, default: int, limit: int) -> int:
        """A non-negative integer parameter, at most `limit`.

        Raises:
            Refusal: 400, not an integer.
        """
        text = self.first(name) or str(default)
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise bad_request(f"{name}={text[:20]!r} is not a whole number.")
        return min(int(text), limit)

    def require_login(self) -> User:
        """The user of a request with a token.

        Raises:
            Refusal: 401, there is no token.
        """
        if not self.user.is_logged_in:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.user

    def require_account(self) -> User:
        """The user of a request that stores something; registers a new volunteer.

        Raises:
            Refusal: 401, there is no token; 403, there are too many volunteers.
        """
        self.user = self.hub.users.register(self.require_login())
        return self.user

    def parse(self, model: type[B]) -> B:
        """The JSON body as a validated object.

        Raises:
            Refusal: 400, naming the first invalid field.
        """
        try:
            return model.model_validate_json(self.body or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            raise bad_request(f"{where}: {first['msg']}.") from error

    def window(self, size: int) -> tuple[int, int]:
        """First index and number of entries of the requested page: `size`, or the smaller parameter `limit`.

        Raises:
            Refusal: 400, a parameter is not an integer.
        """
        return self.number("cursor", 0, 10**9), max(self.number("limit", size, size), 1)

    def page(self, items: list[Any] | dict[str, Any], following: int | None) -> JSONResponse:
        """One page of a listing, with the Link header of the next page.

        Args:
            items: The entries of this page, or an object with them.
            following: First index of the next page; None after the last.
        """
        headers = {}
        if following is not None:
            query = urlencode({**self.query, "cursor": [str(following)]}, doseq=True)
            headers["Link"] = f'<{self.base_url}{self.raw_path}?{query}>; rel="next"'
        return JSONResponse(items, headers=headers)
