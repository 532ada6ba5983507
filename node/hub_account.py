"""A volunteer's account on a Hub that lets anybody register, such as a run's embedded one: nothing to set up.

On such a Hub a token nobody has used yet makes an account. Ours follows from the volunteer's identity and the Hub's
address: the same after a reinstall, another on every Hub, and of no use to read the identity from.
"""

from __future__ import annotations

import hashlib

from paris.node.hub import PUBLIC_HUB
from paris.protocol.signing import Identity

_DOMAIN = b"paris-hub-account-v1\n"


def own_token(identity: Identity, endpoint: str) -> str | None:
    """The token of this identity on a Hub with open registration.

    Args:
        identity: The volunteer's; Ed25519 signatures are deterministic, so that the token is too.
        endpoint: The Hub's address.

    Returns:
        None for the public Hub, whose accounts are made by people.
    """
    address = endpoint.rstrip("/")
    if address == PUBLIC_HUB:
        return None
    signature = identity.sign(_DOMAIN + address.encode())
    return "paris_" + hashlib.sha256(signature.encode()).hexdigest()[:40]
