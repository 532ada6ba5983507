"""Which token a Hub gets from this volunteer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from paris.node.errors import SettingsError
from paris.node.machine.config import NodeConfig
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.signing import Identity

_DOMAIN = b"paris-hub-account-v1\n"


def hub_token(home: Path, config: NodeConfig, environ: Mapping[str, str], endpoint: str) -> str | None:
    """The token that the volunteer gave for this Hub, or None.

    The login of the `hf` command is used for the public Hub alone; a run's own endpoint never receives it.

    Args:
        home: May hold the file hub_token.
        config: `hub_token_file`.
        environ: The process environment; PARIS_HUB_TOKEN comes first.
        endpoint: The Hub.

    Raises:
        SettingsError: `hub_token_file` cannot be read.
    """
    if token := environ.get("PARIS_HUB_TOKEN", "").strip():
        return token
    path = config.hub_token_file or home / "hub_token"
    if config.hub_token_file is not None or path.exists():
        try:
            return path.read_text("utf-8-sig").strip() or None
        except (OSError, ValueError) as error:
            raise SettingsError(f"The token file {path} cannot be read: {error}.", "Correct hub_token_file.") from error
    if endpoint.rstrip("/") == PUBLIC_ENDPOINT:
        from huggingface_hub import get_token

        return get_token()
    return None


def own_token(identity: Identity, endpoint: str) -> str | None:
    """A token derived from the identity, for Hubs with open registration; None for the public Hub.

    It differs from Hub to Hub: the operator of one Hub cannot use it at another.
    """
    endpoint = endpoint.rstrip("/")
    if endpoint == PUBLIC_ENDPOINT:
        return None
    return "paris_" + hashlib.sha256(identity.sign(_DOMAIN + endpoint.encode("utf-8")).encode("ascii")).hexdigest()
