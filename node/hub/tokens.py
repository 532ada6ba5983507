"""Which token a Hub gets from this volunteer."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from paris.node.errors import SettingsError
from paris.node.machine.config import NodeConfig
from paris.protocol.addresses import require_url
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.private_files import make_private_folder, replace_private
from paris.protocol.secrets import TokenError, is_encrypted, require_encrypted, require_token
from paris.protocol.signing import Identity

_logger = logging.getLogger(__name__)
_DOMAIN = b"paris-hub-account-v1\n"
_TYPED_TOKENS = "hub_tokens.json"
_TOKENS = TypeAdapter(dict[str, str])


class PlainHttpError(TokenError):
    """The node's own token would be sent over http to another machine, which the volunteer has not allowed."""

    error_code = "plain-http"


def hub_token(home: Path, config: NodeConfig, environ: Mapping[str, str], endpoint: str) -> str | None:
    """The token that the volunteer gave for this Hub, or None.

    A token belongs to one Hub: the public one, or that which the volunteer's own settings name, or for which it was
    typed. The endpoint of a stranger's run.json never receives it.

    Args:
        home: May hold the file hub_token.
        config: `hub_token_file`, `hub_token_endpoint`, `hub_endpoint`.
        environ: The process environment; PARIS_HUB_TOKEN comes first.
        endpoint: The Hub.

    Raises:
        SettingsError: `hub_token_file` cannot be read.
        TokenError: The token is malformed, or the Hub is neither https nor on this machine.
    """
    owner = config.hub_token_endpoint or config.hub_endpoint or PUBLIC_ENDPOINT
    if not same_endpoint(owner, endpoint):
        if environ.get("PARIS_HUB_TOKEN", "").strip():
            _logger.info("PARIS_HUB_TOKEN belongs to %s: it is not sent to %s.", owner, endpoint)
        source, text = _typed(home, endpoint)
    else:
        source, text = _read(home, config, environ, endpoint)
    if not text:
        return None
    token = require_token(text, source)
    require_encrypted(endpoint, source)
    return token


def same_endpoint(first: str, second: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    return _origin(first) == _origin(second)


def _origin(endpoint: str) -> tuple[str, str, int | None]:
    parts = urlsplit(require_url(endpoint.strip()))
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _read(home: Path, config: NodeConfig, environ: Mapping[str, str], endpoint: str) -> tuple[str, str]:
    """Where the token was found, and its text; empty if there is none."""
    if token := environ.get("PARIS_HUB_TOKEN", "").strip():
        return "PARIS_HUB_TOKEN", token
    path = config.hub_token_file or home / "hub_token"
    if config.hub_token_file is not None or path.exists():
        try:
            return str(path), path.read_text("utf-8-sig").strip()
        except (OSError, ValueError) as error:
            raise SettingsError(f"The token file {path} cannot be read: {error}.", "Correct hub_token_file.") from error
    source, text = _typed(home, endpoint)
    if not text and same_endpoint(endpoint, PUBLIC_ENDPOINT):
        from huggingface_hub import get_token

        return "the login of `hf`", get_token() or ""
    return source, text


def _typed(home: Path, endpoint: str) -> tuple[str, str]:
    path = home / _TYPED_TOKENS
    return str(path), _typed_tokens(path).get(_key(endpoint), "")


def keep_typed_token(home: Path, endpoint: str, token: str) -> None:
    """Keep a token that the volunteer typed, for this Hub alone, in a file that only the volunteer can read.

    Raises:
        SettingsError: The file of typed tokens is damaged; it stays.
    """
    path = home / _TYPED_TOKENS
    make_private_folder(home)
    replace_private(path, json.dumps({**_typed_tokens(path), _key(endpoint): token}, indent=1).encode("utf-8"))


def _typed_tokens(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return _TOKENS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        why = type(error).__name__  # pydantic's text may hold a token
        raise SettingsError(f"{path} is damaged ({why}).", "Remove it: join asks for tokens again.") from error


def _key(endpoint: str) -> str:
    scheme, host, port = _origin(endpoint)
    return f"{scheme}://{host}:{port}"


def own_token(identity: Identity, endpoint: str, *, allow_plain_http: bool = False) -> str | None:
    """A token derived from the identity, for Hubs with open registration; None for the public Hub.

    It differs from Hub to Hub: the operator of one Hub cannot use it at another.

    Args:
        identity: The volunteer's.
        endpoint: The Hub.
        allow_plain_http: The volunteer trusts the network between.

    Raises:
        PlainHttpError: It would be sent over http to another machine.
    """
    endpoint = endpoint.rstrip("/")
    if endpoint == PUBLIC_ENDPOINT:
        return None
    if not (allow_plain_http or is_encrypted(endpoint)):
        raise PlainHttpError(
            f"The Hub {endpoint} is plain http: whoever reads the network could act there in this volunteer's name.",
            "On a network that you trust add --allow-plain-http; otherwise ask the organiser for an https address.",
        )
    return "paris_" + hashlib.sha256(identity.sign(_DOMAIN + endpoint.encode("utf-8")).encode("ascii")).hexdigest()
