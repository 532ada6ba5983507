"""Tokens: checked where they are read, kept to encrypted connections, and removed from everything that is written.

`require_token` and `keep_secret` remember the values; `redact` replaces them, and whatever looks like a token, in logs,
messages and tracebacks.
"""

from __future__ import annotations

import ipaddress
import json
import re
from urllib.parse import urlsplit

from paris.protocol.errors import ParisError

REDACTED = "[secret]"
_MIN_CHARS = 8
"""Shorter values are not replaced: they would be found inside ordinary words."""
_TOKEN = re.compile(r"[!-~]+")
_PATTERNS = (
    re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    re.compile(r"\bparis_(?:admin_[0-9a-f]{40}|[0-9a-f]{64})\b"),
    re.compile(r"(?<=Bearer )[^\s'\"\\]+", re.IGNORECASE),
    re.compile(r"(?<=://)[^/\s'\"\\]+(?=@)"),
    re.compile(
        r"(?<=[?&])((?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|Policy|Key-Pair-Id|sig|token)=)[^&\s'\"\\]+",
        re.I,
    ),
    re.compile(r"\b((?:access|refresh|id)_token=)[^&\s'\"\\]+", re.I),
    re.compile(r"(authorization['\"]?\s*[:=,]\s*b?['\"]?(?:basic|digest|token)\s+)[^\s'\"\\]+", re.I),
)
_known: set[str] = set()


class TokenError(ParisError):
    """A token cannot be one, or must not be sent to this Hub."""

    exit_code = 19
    error_code = "token"


def require_token(text: str, source: str) -> str:
    """The token in a text.

    Args:
        text: Spaces and line breaks around it are removed.
        source: Where it was read, such as "PARIS_HUB_TOKEN".

    Raises:
        TokenError: It has a space, a line break or a character outside ASCII. The value is not in the message.
    """
    token = text.strip()
    keep_secret(token)
    if not _TOKEN.fullmatch(token):
        for part in token.split():
            keep_secret(part)
        odd = "a line break" if len(token.splitlines()) > 1 else "a space or a character outside ASCII"
        raise TokenError(f"The token in {source} has {odd}.", "Copy the token again, as one line and nothing else.")
    return token


def require_encrypted(endpoint: str, source: str) -> None:
    """Check that a token can be sent to a Hub without being read on the way.

    Args:
        endpoint: URL of the Hub.
        source: Where the token was read.

    Raises:
        TokenError: The endpoint is http, and not on this machine.
    """
    if not is_encrypted(endpoint):
        raise TokenError(
            f"The token in {source} is not sent to {endpoint}: http is not encrypted.",
            "Use the Hub's https address, or unset the token.",
        )


def is_encrypted(endpoint: str) -> bool:
    """Whether nobody on the way can read what is sent to a URL: https, or this machine."""
    return urlsplit(endpoint).scheme == "https" or is_loopback(endpoint)


def is_loopback(endpoint: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def keep_secret(value: str | None) -> None:
    """Let `redact` replace a value from now on; values of fewer than eight characters are ignored."""
    if value is not None and len(value) >= _MIN_CHARS:
        _known.update((value, json.dumps(value)[1:-1]))


def redact(text: str) -> str:
    """A text with all secrets replaced."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, REDACTED)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: (match.group(1) if match.re.groups else "") + REDACTED, text)
    return text
