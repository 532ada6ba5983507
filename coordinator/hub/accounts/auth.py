"""Bearer tokens and their users.

    <data>/tokens.json   {"<sha256 of a token>": {"name": "ada", "role": "user", "orgs": ["lab"]}}; reread on changes
    <data>/admin.token   the administrator's token, made at the first start, readable by its owner only

Roles: `admin` may do everything; `user` owns the repositories under its name and its organisations; `volunteer` may
read, upload, comment and open pull requests, but owns no repository. With open registration, an unknown token of 20 to
200 letters, digits, `_`, `-` or `.` is a volunteer named `user-<8 hex>` after the token's hash. The account is stored
at the first upload, commit or comment, and deleted when it is old and the volunteer has nothing stored.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from paris.coordinator.hub.errors import HubStartError, Refusal, forbidden
from paris.coordinator.hub.names import is_owner
from paris.coordinator.hub.storage.store import Store
from paris.protocol.locks import wait_for_lock
from paris.protocol.private_files import create_private, make_private_folder, replace_private

_log = logging.getLogger(__name__)
Role = Literal["admin", "user", "volunteer", "anonymous"]
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{20,200}")
_VOLUNTEER_PREFIX = "user-"


@dataclass(frozen=True, slots=True)
class User:
    """The user of a request."""

    name: str
    role: Role
    orgs: tuple[str, ...] = ()
    new_token_sha256: str = ""
    """Hash of the token of a volunteer without an account; see `Users.register`."""

    @property
    def is_logged_in(self) -> bool:
        """Whether the request had a token."""
        return self.role != "anonymous"

    def owns(self, owner: str) -> bool:
        """Whether the user may create and write repositories of this owner."""
        return self.role == "admin" or (self.role == "user" and owner in (self.name, *self.orgs))


ANONYMOUS = User("anonymous", "anonymous")


class _Account(BaseModel):
    """One entry of tokens.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    role: Literal["admin", "user"] = "user"
    orgs: list[str] = []


_ACCOUNTS = TypeAdapter(dict[str, _Account])


def add_user(
    data_dir: Path, name: str, token: str, orgs: list[str] | None = None, *, role: Literal["admin", "user"] = "user"
) -> None:
    """Add an account for a token; a running Hub uses it from the next request on.

    Args:
        data_dir: The Hub's data folder.
        name: The user's name.
        token: The secret, at least 20 characters; only its hash is stored.
        orgs: Organisations whose repositories the user may write.
        role: `user` or `admin`.

    Raises:
        HubStartError: The name or the token is invalid; nothing is changed.
    """
    if not is_owner(name) or name.startswith(_VOLUNTEER_PREFIX) or not all(is_owner(org) for org in orgs or []):
        raise HubStartError(
            f"Invalid user name {name!r}.", "Use letters, digits, - and _; the prefix user- is reserved for volunteers."
        )
    if not _TOKEN.fullmatch(token):
        raise HubStartError(
            "The token is not 20 to 200 letters, digits, _, - or .", "Make one with `openssl rand -hex 20`."
        )
    make_private_folder(data_dir)
    path = data_dir / "tokens.json"
    with wait_for_lock(data_dir / "tokens.lock"):
        accounts = _read_accounts(path)
        accounts[_hash(token)] = _Account(name=name, role=role, orgs=orgs or [])
        text = json.dumps({key: account.model_dump() for key, account in accounts.items()}, indent=1)
        replace_private(path, text.encode())


def admin_token(data_dir: Path) -> str:
    """The administrator's token, from `admin.token`, which is made at the first call."""
    path = data_dir / "admin.token"
    if not path.exists():
        token = f"paris_admin_{secrets.token_hex(20)}"
        add_user(data_dir, "admin", token, role="admin")
        create_private(path, f"{token}\n".encode("ascii"))
    token = path.read_bytes().decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise HubStartError(f"{path} is damaged: it holds no token.", "Remove it: the next start makes a new token.")
    return token


class Users:
    """The accounts of a running Hub.

    Args:
        data_dir: The Hub's data folder.
        store: Database of the volunteers.
        open_registration: Whether an unknown token registers a volunteer.
        max_volunteers: Largest number of volunteers.
    """

    def __init__(self, data_dir: Path, store: Store, *, open_registration: bool, max_volunteers: int) -> None:
        self._path = data_dir / "tokens.json"
        self._store = store
        self._open_registration = open_registration
        self._max_volunteers = max_volunteers
        self._seen: tuple[int, int, int] | None = None
        self._accounts: dict[str, _Account] = {}

    def identify(self, authorization: str | None) -> User:
        """The user of an Authorization header.

        An unknown token's user has the name that `register` would give it; reading stores nothing.

        Raises:
            Refusal: 401, the token is unknown.
        """
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer" and _TOKEN.fullmatch(token):
            token_sha256 = _hash(token)
            account = self._current().get(token_sha256)
            if account is not None:
                return User(account.name, account.role, tuple(account.orgs))
            if self._open_registration:
                return self._volunteer(token_sha256)
        # The client recognises an invalid token by this message; it takes any other 401 for a missing repository.
        raise Refusal(401, "Invalid credentials in Authorization header")

    def _current(self) -> dict[str, _Account]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return {}
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._seen = seen
            try:
                self._accounts = _read_accounts(self._path)
            except HubStartError as error:
                _log.error("%s The accounts that were read before stay in use.", error)
        return self._accounts

    def _volunteer(self, token_sha256: str) -> User:
        with self._store.read() as db:
            known = db.execute("SELECT name FROM users WHERE token_sha256 = ?", (token_sha256,)).fetchone()
            if known:
                return User(known["name"], "volunteer")
            return User(_free_name(db, token_sha256), "volunteer", new_token_sha256=token_sha256)

    def register(self, user: User) -> User:
        """Store the account of a volunteer, at its first upload, commit or comment.

        Raises:
            Refusal: 403, there are `max_volunteers` already.
        """
        token_sha256 = user.new_token_sha256
        if not token_sha256:
            return user
        with self._store.write() as db:
            known = db.execute("SELECT name FROM users WHERE token_sha256 = ?", (token_sha256,)).fetchone()
            if known:
                return User(known["name"], "volunteer")
            if db.execute("SELECT COUNT(*) FROM users").fetchone()[0] >= self._max_volunteers:
                raise forbidden("This Hub has reached its limit of volunteers.")
            name = _free_name(db, token_sha256)
            db.execute("INSERT INTO users VALUES (?, ?, ?)", (token_sha256, name, time.time()))
            return User(name, "volunteer")


def _free_name(db: sqlite3.Connection, token_sha256: str) -> str:
    """The name for a new volunteer.

    A token with the same first eight hex digits can be found by brute force, so a name belongs to the first token
    with these digits, and a later token gets a longer name.
    """
    names = [_VOLUNTEER_PREFIX + token_sha256[:digits] for digits in (8, 16, 32, 64)]
    taken = {row[0] for row in db.execute("SELECT name FROM users WHERE name IN (?, ?, ?, ?)", names)}
    return next(name for name in names if name not in taken)


def expire_accounts(db: sqlite3.Connection, before: float) -> None:
    """Delete the accounts of volunteers, made before a time, who have nothing stored: no upload, thread or comment."""
    db.execute(
        "DELETE FROM users WHERE created_at < ? AND name NOT IN (SELECT user FROM uploads "
        "UNION SELECT author FROM discussions UNION SELECT author FROM events UNION SELECT user FROM pull_contents)",
        (before,),
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _read_accounts(path: Path) -> dict[str, _Account]:
    if not path.exists():
        return {}
    try:
        return _ACCOUNTS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise HubStartError(
            f"{path} is not a list of accounts: {error.errors()[0]['msg']}.", "Fix or remove it."
        ) from error
