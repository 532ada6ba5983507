"""Signed, expiring upload URLs: the client sends an object's bytes without a token."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from pathlib import Path
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from paris.coordinator.hub.errors import HubStartError, forbidden
from paris.protocol.private_files import create_private

_SECRET_BYTES = 32


class Ticket(BaseModel):
    """The right to upload one object, or one part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    oid: str
    """sha256 of the object."""
    size: int
    """Bytes of the object."""
    user: str
    """The uploader."""
    repo: str
    """kind/owner/name, for the traffic counts."""
    limited: bool = False
    """Whether the user's pending bytes are bounded."""
    part_bytes: int = 0
    """Bytes of each part but the last; 0 for an upload in one piece."""
    part: int = 0
    """Number of the part, from 1; 0 for the whole object or the completion of its parts."""
    expires: int
    """UTC seconds."""


class TicketOffice:
    """Signs and checks tickets.

    Args:
        secret: Key of the HMAC; the same after a restart, so that an interrupted client can resume.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def query(self, ticket: Ticket) -> str:
        """The query string of a signed URL."""
        text = urlencode(ticket.model_dump())
        return f"{text}&signature={self._sign(text)}"

    def check(self, query: dict[str, str]) -> Ticket:
        """The ticket in the query of a request.

        Raises:
            Refusal: 403, the signature is invalid, or the ticket has expired.
        """
        fields = dict(query)
        signature = fields.pop("signature", "")
        try:
            ticket = Ticket.model_validate(fields)
        except ValidationError as error:
            raise forbidden("This upload address is not signed by this Hub.") from error
        if not hmac.compare_digest(self._sign(urlencode(ticket.model_dump())), signature):
            raise forbidden("This upload address is not signed by this Hub.")
        if ticket.expires < time.time():
            raise forbidden("This upload address has expired; request a new one.")
        return ticket

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def load_secret(path: Path) -> bytes:
    """The key of the tickets, made at the first start, readable by its owner only."""
    if not path.exists():
        create_private(path, os.urandom(_SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise HubStartError(f"{path} is damaged.", "Remove it: the next start makes a new one, uploads begin again.")
    return secret
