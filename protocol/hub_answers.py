"""Whether an answer came from the Hub, or from a login page or proxy on the way. Pure; `hub_session.py` applies it.

Captive portals and proxies answer any request with a page of their own, often with status 200. Such an answer says
nothing about the run: it is treated as a connection that failed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from paris.protocol.printable import on_one_line

FOREIGN = "A login page or proxy answered instead of the Hub"
"""Starts every message about such an answer."""
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<meta", b"<script", b"<body")
_PAGE_ENDINGS = (".html", ".htm", ".xhtml")
_TITLE = re.compile(rb"<title[^>]*>(.{1,300}?)</title", re.IGNORECASE | re.DOTALL)
_PROXY_LOGIN, _NETWORK_LOGIN = 407, 511
_TITLE_CHARS = 80


@dataclass(frozen=True)
class Answer:
    """What is known of an answer.

    Args:
        method: Of the request.
        asked: URL of the request, before redirects.
        answered: URL after redirects.
        status: HTTP status.
        content_type: The header; empty if absent.
        has_hub_headers: Whether a header is there that only Hubs send.
        body: The whole body, or None where it has not been read.
    """

    method: str
    asked: str
    answered: str
    status: int
    content_type: str
    has_hub_headers: bool
    body: bytes | None


def why_foreign(answer: Answer) -> str | None:
    """One sentence that names the answer and where it came from; None if it can be the Hub's."""
    if answer.status == _PROXY_LOGIN:
        return f"{FOREIGN}: the proxy demands a user name and password for {plain_url(answer.asked)}."
    if answer.status == _NETWORK_LOGIN:
        return f"{FOREIGN}: the network demands a login before {plain_url(answer.asked)} can be reached."
    if answer.status >= 500 or (answer.status >= 400 and answer.has_hub_headers):
        return None
    if _is_page(answer):
        return f"{FOREIGN}: {_where(answer)} with a web page{_title(answer.body)}."
    if answer.status < 300 and answer.body is not None and _must_be_json(answer) and not _is_json(answer.body):
        return f"{FOREIGN}, or cut it: {_where(answer)} with {len(answer.body)} bytes that are not JSON."
    return None


def looks_like_page(start: bytes) -> bool:
    """Whether a body starts as a web page does.

    Args:
        start: Its first bytes; a few dozen are enough.
    """
    text = start[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith(_PAGE_STARTS) or (text.startswith((b"<?xml", b"<!--")) and b"<html" in text)


def may_be_page(url: str) -> bool:
    """Whether the file that a URL names may itself be a web page."""
    return urlsplit(url).path.lower().endswith(_PAGE_ENDINGS)


def plain_url(url: str) -> str:
    """A URL without user, password, query and control characters: queries of uploads contain signatures."""
    parts = urlsplit(url)
    return on_one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def _is_page(answer: Answer) -> bool:
    if may_be_page(answer.asked):
        return False
    kind = answer.content_type.split(";")[0].strip().lower()
    return kind in _PAGE_TYPES or (answer.body is not None and looks_like_page(answer.body))


def _must_be_json(answer: Answer) -> bool:
    path = urlsplit(answer.asked).path
    is_json = "json" in answer.content_type.lower() and ("/api/" in path or "/info/lfs" in path)
    return (
        answer.method != "HEAD"
        and "/api/resolve-cache/" not in path
        and (is_json or (answer.method == "GET" and path.startswith("/api/")))
    )


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _where(answer: Answer) -> str:
    asked, answered = plain_url(answer.asked), plain_url(answer.answered)
    by = "" if asked == answered else f" by {answered}"
    return f"{answer.method} {asked} was answered{by} ({answer.status})"


def _title(body: bytes | None) -> str:
    found = _TITLE.search(body or b"")
    if found is None:
        return ""
    text = on_one_line(found.group(1).decode("utf-8", errors="replace"))
    return f' titled "{text[:_TITLE_CHARS]}"'
