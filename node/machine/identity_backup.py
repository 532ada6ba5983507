"""Copies of the identity: as the key file is, or sealed with a passphrase.

A sealed copy is one JSON object:

    {"paris_identity": 1, "public_key": "...", "salt": "...", "nonce": "...", "sealed": "..."}

`sealed` is the secret key under ChaCha20-Poly1305, with a key that scrypt makes of the passphrase and the salt.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from paris.protocol.errors import IdentityError
from paris.protocol.private_files import create_private
from paris.protocol.signing import Identity

_MOST_BYTES = 4096
_SCRYPT = {"length": 32, "n": 2**16, "r": 8, "p": 1}
"""64 MiB and some 0.2 s a guess. Source: RFC 7914, section 2."""
_Hex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2}){8,64}$")]


class _Sealed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    paris_identity: Literal[1] = 1
    public_key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    salt: _Hex
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
    sealed: _Hex


def backup_identity(identity: Path, copy: Path, passphrase: str = "") -> str:
    """Copy the identity to a new file with mode 0600.

    Args:
        identity: The identity file.
        copy: Where to; must not exist.
        passphrase: Seals the copy; empty leaves it as the key file is.

    Returns:
        The public key.

    Raises:
        IdentityError: There is no usable identity, or the copy exists already; nothing was written.
        OSError: The copy cannot be written; nothing is left behind.
    """
    public_key = Identity.load(identity).public_key
    seed = bytes.fromhex(identity.read_text("ascii").strip())
    data = _seal(seed, public_key, passphrase) if passphrase else f"{seed.hex()}\n".encode("ascii")
    if not create_private(copy, data):
        raise IdentityError(f"{copy} exists already; it is unchanged.", "Choose another name for the copy.")
    return public_key


def restore_identity(copy: Path, identity: Path, passphrase: str = "") -> str:
    """Make a copy the identity of a home that has none.

    Args:
        copy: Made by `backup_identity`, or a copy of an identity file.
        identity: The identity file; must not exist.
        passphrase: Of a sealed copy.

    Returns:
        The public key.

    Raises:
        IdentityError: The home has an identity, or the copy is none, or the passphrase is wrong; nothing was written.
        OSError: The identity cannot be written; nothing is left behind.
    """
    seed = _opened(copy, passphrase)
    if not create_private(identity, f"{seed.hex()}\n".encode("ascii")):
        raise IdentityError(
            f"This home has an identity already ({identity}); it is unchanged.",
            "Restore into another --home; or move that file away, after a backup.",
        )
    return Identity.load(identity).public_key


def is_sealed(copy: Path) -> bool:
    """Whether a copy asks for a passphrase.

    Raises:
        IdentityError: It cannot be read.
    """
    return _read(copy).lstrip().startswith(b"{")


def _seal(seed: bytes, public_key: str, passphrase: str) -> bytes:
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = ChaCha20Poly1305(_key(passphrase, salt)).encrypt(nonce, seed, public_key.encode("ascii"))
    fields = _Sealed(public_key=public_key, salt=salt.hex(), nonce=nonce.hex(), sealed=sealed.hex())
    return fields.model_dump_json(indent=1).encode("ascii") + b"\n"


def _opened(copy: Path, passphrase: str) -> bytes:
    """The secret key in a copy."""
    if not is_sealed(copy):
        Identity.load(copy)
        return bytes.fromhex(copy.read_text("ascii").strip())
    try:
        fields = _Sealed.model_validate(json.loads(_read(copy)))
    except (ValueError, ValidationError) as error:
        raise IdentityError(f"{copy} is no copy of an identity, or is damaged.", "Use another copy.") from error
    try:
        key = ChaCha20Poly1305(_key(passphrase, bytes.fromhex(fields.salt)))
        return key.decrypt(bytes.fromhex(fields.nonce), bytes.fromhex(fields.sealed), fields.public_key.encode("ascii"))
    except InvalidTag as error:
        raise IdentityError(
            f"The passphrase does not open {copy}, or the file is damaged.", "Try again; nothing was changed."
        ) from error


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, **_SCRYPT).derive(passphrase.encode("utf-8"))


def _read(copy: Path) -> bytes:
    try:
        with copy.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise IdentityError(f"{copy} cannot be read: {error.strerror}.", "Name the file of the copy.") from error
