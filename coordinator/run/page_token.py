"""The token with which the organiser gives orders on the page: <run>/keys/page.token, mode 0600."""

from __future__ import annotations

import secrets
from pathlib import Path

from paris.protocol.private_files import create_private
from paris.protocol.secrets import keep_secret

_FILE = Path("keys") / "page.token"


def ensure_page_token(run_dir: Path) -> Path:
    """Make the token if there is none; returns its file. Errors as of `create_private`."""
    path = run_dir / _FILE
    # In the form of the Hub's, which every log leaves out.
    create_private(path, f"paris_admin_{secrets.token_hex(20)}\n".encode("ascii"))
    return path


def read_page_token(run_dir: Path) -> str | None:
    """The token; None before the first `serve`."""
    try:
        token = (run_dir / _FILE).read_text("ascii").strip()
    except OSError:
        return None
    keep_secret(token)
    return token or None
