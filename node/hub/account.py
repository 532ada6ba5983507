"""Under which token this volunteer acts at the run's Hub: a given one, the node's own, or one that is typed."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from paris.node.errors import HubRefusedError, TransientHubError
from paris.node.hub.client import Hub
from paris.node.hub.tokens import hub_token, keep_typed_token, own_token
from paris.node.machine.config import NodeConfig
from paris.protocol.secrets import require_encrypted, require_token
from paris.protocol.signing import Identity

_MAX_TRIES = 3
_UNKNOWN_TOKEN = 401


def account_token(home: Path, config: NodeConfig, identity: Identity, endpoint: str) -> str | None:
    """The token that the volunteer gave for this Hub, or the node's own.

    Raises:
        SettingsError: A token file cannot be read.
        PlainHttpError: The node's own would be sent over http to another machine.
        TokenError: The given token is malformed, or the Hub is neither https nor on this machine.
    """
    given = hub_token(home, config, os.environ, endpoint)
    return given or own_token(identity, endpoint, allow_plain_http=config.allow_plain_http)


def is_at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_if_refused(home: Path, endpoint: str, token: str | None) -> str | None:
    """Ask for a token if the Hub wants another one; it is kept in the home, for this Hub alone.

    Args:
        home: The node's folder.
        endpoint: The Hub.
        token: The one there is.

    Returns:
        The token to use; the given one if the volunteer types nothing, or the Hub does not answer now.

    Raises:
        TokenError: What was typed is no token, or the Hub is neither https nor on this machine.
        HubRefusedError: The Hub knows none of the tokens that were typed.
    """
    if token is not None and _is_known(endpoint, token):
        return token
    require_encrypted(endpoint, "the terminal")
    for _ in range(_MAX_TRIES):
        typed = getpass.getpass(f"Token of {endpoint} (it stays hidden; Enter goes on without one): ")
        if not typed.strip():
            return token
        typed = require_token(typed, "the terminal")
        if _is_known(endpoint, typed):
            keep_typed_token(home, endpoint, typed)
            return typed
        print("The Hub does not know this token.", file=sys.stderr)
    raise HubRefusedError(
        f"The Hub {endpoint} knows none of the tokens that were typed.",
        "Make a token there that may open pull requests, and run the same command again.",
        _UNKNOWN_TOKEN,
    )


def _is_known(endpoint: str, token: str) -> bool:
    """Whether the Hub takes a token; True where it does not say."""
    try:
        Hub(endpoint, token).whoami()
    except TransientHubError:
        return True
    except HubRefusedError as error:
        return error.status != _UNKNOWN_TOKEN
    return True
