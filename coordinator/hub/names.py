"""Names from the network: owners, repositories, paths, branches, tags, and what a file's ending means."""

from __future__ import annotations

import re

from paris.coordinator.hub.errors import Refusal, bad_request

KINDS = {"models": "model", "datasets": "dataset"}
"""Path segment of a repository kind -> its name in the API."""

PICTURES = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}
"""Ending of a file's name -> media type of a picture that a browser may show; SVG may hold scripts."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_-])?")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@:-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+=@:-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RESERVED = {"api", "datasets", "models", "spaces", "lfs"}
_MAX_PATH_BYTES = 1024
_MAX_SEGMENT_BYTES = 255
_MAX_PATH_SEGMENTS = 32


def is_name(text: str) -> bool:
    """Whether this is a valid name of a user, organisation or repository."""
    dull = text.lower()
    return (
        bool(_NAME.fullmatch(text)) and ".." not in text and "--" not in text and not dull.endswith((".git", ".ipynb"))
    )


def is_owner(text: str) -> bool:
    """Whether this is a valid name of a user or organisation, other than the reserved words of the routes."""
    return is_name(text) and text.lower() not in _RESERVED


def is_sha256(text: str) -> bool:
    """Whether this is a sha256 in lower-case hex."""
    return bool(_SHA256.fullmatch(text))


def check_path(path: str) -> str:
    """Return a file's path in a repository if it is safe.

    Raises:
        Refusal: 400 for absolute paths, `..`, `.git`, control characters, backslashes, overlong segments.
    """
    segments = path.split("/")
    if not path or len(path.encode()) > _MAX_PATH_BYTES or len(segments) > _MAX_PATH_SEGMENTS:
        raise bad_request(f"The path {path[:80]!r} is empty or too long.")
    for segment in segments:
        if segment in ("", ".", "..") or segment.lower() == ".git" or len(segment.encode()) > _MAX_SEGMENT_BYTES:
            raise bad_request(f"The path {path!r} is not allowed.")
    if "\\" in path or any(not char.isprintable() for char in path):
        raise bad_request(f"The path {path!r} has a character that is not allowed.")
    return path


def check_ref_name(name: str) -> str:
    """Return the name of a new branch or tag if git allows it and it cannot be confused with a commit or a full ref.

    Raises:
        Refusal: 400.
    """
    looks_like_commit = bool(re.fullmatch(r"[0-9a-f]{40}", name))
    if not _REF.fullmatch(name) or ".." in name or name.endswith((".lock", ".")) or len(name) > 200:
        raise bad_request(f"Invalid name of a branch or tag: {name[:80]!r}.")
    if name.startswith("refs/") or name == "HEAD" or looks_like_commit:
        raise bad_request(f"Invalid name of a branch or tag: {name!r}.")
    return name


def check_number(text: str) -> int:
    """Parse the number of a discussion.

    Raises:
        Refusal: 404.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise Refusal(404, f"There is no discussion {text[:20]!r}.")
    return int(text)
