"""Posting to a webhook: a signed notice, or the message that Slack or Discord takes."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import httpx2

from paris.coordinator.errors import NoticeError
from paris.coordinator.run.config_tables import WebhookTable
from paris.protocol.errors import reason_of
from paris.protocol.printable import printable
from paris.protocol.private_files import create_private
from paris.protocol.secrets import keep_secret

_SECRET_FILE = Path("keys") / "notify.secret"
_TIMEOUT_S = 10.0
_MOST_CHARS = 1800
"""Of a message; Discord refuses more than 2000."""


@dataclass(frozen=True)
class Line:
    """One event of a notice."""

    kind: str
    text: str
    at: float
    """UTC seconds."""


@dataclass(frozen=True)
class Notice:
    """What is posted at once."""

    id: str
    """The same for every try of a service, so that a receiver can drop what it has."""
    run_id: str
    lines: Sequence[Line]
    """The oldest first."""
    left_out: int = 0
    """Events before these that the notice only counts."""


def read_secret(run_dir: Path) -> str:
    """The key of the signatures, `whsec_` and base64; made at the first call. Errors as of `create_private`."""
    path = run_dir / _SECRET_FILE
    create_private(path, f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n".encode("ascii"))
    secret = path.read_text("ascii").strip()
    keep_secret(secret)
    return secret


def signature(secret: str, notice_id: str, at_s: int, body: bytes) -> str:
    """The header `webhook-signature`.

    Args:
        secret: As of `read_secret`.
        notice_id: The header `webhook-id`.
        at_s: The header `webhook-timestamp`, UTC seconds.
        body: The bytes that are posted.

    Source: Standard Webhooks 1.0.0, "Signature scheme", symmetric.
    """
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{notice_id}.{at_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Webhook:
    """One of the organiser's addresses for notices.

    Args:
        table: Its settings.
        secret: Key of the signatures.
    """

    def __init__(self, table: WebhookTable, secret: str) -> None:
        self.name, self.events = table.name, frozenset(table.events)
        self._url, self._style, self._secret = table.url, table.style, secret
        keep_secret(table.url)  # who has the address of a channel can post to it

    def post(self, notice: Notice, now: float) -> None:
        """Post a notice.

        Args:
            notice: What is posted.
            now: UTC seconds.

        Raises:
            NoticeError: Nobody answered, or not with success; redirects are not followed.
        """
        body = json.dumps(self._body(notice), ensure_ascii=False).encode()
        headers = {"content-type": "application/json", "user-agent": "paris-coord"}
        if self._style == "signed":
            stamp = {"webhook-id": notice.id, "webhook-timestamp": str(int(now))}
            headers |= stamp | {"webhook-signature": signature(self._secret, notice.id, int(now), body)}
        try:
            answer = httpx2.post(self._url, content=body, headers=headers, timeout=_TIMEOUT_S, follow_redirects=False)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            why = reason_of(error) or type(error).__name__
            raise NoticeError(f"Webhook {self.name} did not answer: {why}.", "It is tried again.") from error
        if not answer.is_success:
            raise NoticeError(f"Webhook {self.name} answered with status {answer.status_code}.", "It is tried again.")

    def _body(self, notice: Notice) -> dict[str, Any]:
        if self._style == "slack":
            return {"text": escape(_message(notice), quote=False)}  # as Slack wants it; no <!channel> from a name
        if self._style == "discord":
            return {"content": _message(notice), "allowed_mentions": {"parse": []}}
        events = [{"kind": line.kind, "text": line.text, "at": _iso(line.at)} for line in notice.lines]
        data = {"run_id": notice.run_id, "events": events, "left_out": notice.left_out}
        return {"type": "run.events", "timestamp": _iso(notice.lines[-1].at), "data": data}


def _message(notice: Notice) -> str:
    """The events as lines; the first ones are left out where they are too long together."""
    lines = [f"{line.kind}: {printable(line.text)}" for line in notice.lines]
    left_out = notice.left_out
    while len(lines) > 1 and sum(map(len, lines)) + len(lines) > _MOST_CHARS:
        lines.pop(0)
        left_out += 1
    head = [notice.run_id] if not left_out else [f"{notice.run_id} (and {left_out} earlier events)"]
    return "\n".join([*head, *lines])[: _MOST_CHARS + 100]


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
