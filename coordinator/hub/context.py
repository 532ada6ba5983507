"""What every handler gets: the Hub's parts, and one request with its user."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from paris.coordinator.hub.accounts.auth import User, Users
from paris.coordinator.hub.accounts.tickets import TicketOffice
from paris.coordinator.hub.accounts.traffic import Traffic
from paris.coordinator.hub.errors import Refusal, bad_request
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.store import Store

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True)
class Hub:
    """The parts of one Hub."""

    store: Store
    blobs: BlobStore
    users: Users
    tickets: TicketOffice
    traffic: Traffic
    limits: HubLimits
    clock: Callable[[], float] = time.time


@dataclass
class Call:
    """One request, with its address taken apart and its user known."""

    hub: Hub
    request: Request
    params: dict[str, str]
    user: User
    body: bytes = b""
    repo_label: str = ""
    """Repository in the traffic account."""
    part_label: str = "(api)"
    """Part of it: the first folder of the file, or a word in brackets."""
    traffic_user: str = ""
    """Whom the bytes are counted for, where no token came along."""
    query: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.query = parse_qs(self.request.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    @property
    def now(self) -> float:
        """UTC seconds."""
        return self.hub.clock()

    @property
    def reader(self) -> sqlite3.Connection:
        """The database, for reading."""
        return self.hub.store.reader

    @property
    def base_url(self) -> str:
        """The address under which the client reached us, without a slash at the end."""
        # Not `request.base_url`, which leaves out the path below which another application has mounted us.
        url = self.request.url
        return f"{url.scheme}://{url.netloc}{self.request.scope.get('root_path', '')}"

    def flag(self, name: str) -> bool:
        """A yes-or-no parameter."""
        return self.first(name).lower() in ("1", "true")

    def first(self, name: str) -> str:
        """A parameter, empty when absent."""
        return self.query.get(name, [""])[0]

    def number(self, name: str, default: int, most: int) -> int:
        """A non-negative whole parameter.

        Raises:
            Refusal: 400.
        """
        text = self.first(name) or str(default)
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise bad_request(f"{name}={text[:20]!r} is not a whole number.")
        return min(int(text), most)

    def require_login(self) -> User:
        """The user, who must have come with a token.

        Raises:
            Refusal: 401.
        """
        if not self.user.is_logged_in:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.user

    def parse(self, model: type[B]) -> B:
        """The JSON body as a checked object.

        Raises:
            Refusal: 400, naming the first field that is wrong.
        """
        try:
            return model.model_validate_json(self.body or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            raise bad_request(f"{where}: {first['msg']}.") from error

    def window(self, size: int) -> tuple[int, int]:
        """First index and number of the entries on the page asked for: `size` of them, or fewer where `limit` says so.

        Raises:
            Refusal: 400, not numbers.
        """
        return self.number("cursor", 0, 10**9), max(self.number("limit", size, size), 1)

    def page(self, items: list[Any], *, start: int, size: int, total: int) -> JSONResponse:
        """One page of a listing, with the Link header that the client follows to the next.

        Args:
            items: The entries of this page.
            start: Index of the first of them.
            size: Entries that a page holds.
            total: Entries of the whole listing.
        """
        headers = {}
        if start + size < total:
            query = urlencode({**self.query, "cursor": [str(start + size)]}, doseq=True)
            headers["Link"] = f'<{self.request.url.replace(query=query)}>; rel="next"'
        return JSONResponse(items, headers=headers)


def timestamp(at: float) -> str:
    """UTC seconds as the client reads them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
