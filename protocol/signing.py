"""Ed25519 identities: one key file per volunteer and per run.

run.key / identity.key     32 raw private bytes as 64 hex digits and a newline, mode 0600
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from paris.protocol.errors import IdentityError, SignatureError
from paris.protocol.private_files import create_private

_DERIVED = "paris-derived-identity-v1\n"


class Signer(Protocol):
    """Who signs records."""

    @property
    def public_key(self) -> str:
        """64 hex digits; names the signer in records."""

    def sign(self, message: bytes) -> str:
        """Sign bytes; returns 128 hex digits."""


class Identity:
    """An Ed25519 key pair.

    Args:
        private_key: Written only to the identity file.
    """

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        """64 hex digits; names the signer in records."""

    @classmethod
    def generate(cls) -> Identity:
        """Create a random identity."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of_seed(cls, seed: bytes) -> Identity:
        """The key pair of 32 secret bytes.

        Raises:
            ValueError: There are not 32.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Read an identity file.

        Raises:
            IdentityError: The file is missing or does not contain 64 hex digits.
        """
        try:
            return cls.of_seed(bytes.fromhex(path.read_text("ascii").strip()))
        except (OSError, ValueError) as error:
            raise IdentityError(
                f"The identity file {path} cannot be used: {error}.",
                "Restore it from a copy, or move it away to start with a new identity.",
            ) from error

    def derived(self, purpose: str) -> Identity:
        """An identity that follows from this one: who has this key has that one too, but not the other way round.

        Args:
            purpose: Another one gives another identity.
        """
        derivation = HKDF(SHA256(), length=32, salt=None, info=f"{_DERIVED}{purpose}".encode())
        return self.of_seed(derivation.derive(self._secret()))

    @classmethod
    def load_or_create(cls, path: Path, create: Callable[[], Identity] | None = None) -> Identity:
        """Read an identity file; create it with mode 0600 if missing.

        Args:
            path: The file.
            create: Gives the identity of a missing file; None: a random one.

        Raises:
            IdentityError: The file exists but is unusable; it is not changed.
            OSError: It cannot be written; no file is left behind.
        """
        if path.exists():
            return cls.load(path)
        identity = (create or cls.generate)()
        return identity if create_private(path, f"{identity._secret().hex()}\n".encode("ascii")) else cls.load(path)

    def _secret(self) -> bytes:
        return self._private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())

    def sign(self, message: bytes) -> str:
        """Sign bytes; returns 128 hex digits."""
        return self._private_key.sign(message).hex()


class PublicIdentity:
    """A signer whose private key is elsewhere.

    Args:
        path: A file of its public key, 64 hex digits.

    Raises:
        IdentityError: There is no such file, or no key in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.public_key = bytes.fromhex(path.read_text("ascii").strip()).hex()
            _public_key(self.public_key)
        except (OSError, ValueError) as error:
            raise IdentityError(f"{path} has no public key: {error}.", "Restore it from a copy.") from error

    def sign(self, message: bytes) -> str:
        """Refuse.

        Raises:
            IdentityError: Always.
        """
        raise IdentityError(f"{self._path} is a public key; the private key is elsewhere.", "Run this where it is.")


def verify_signature(public_key: str, message: bytes, signature: str) -> None:
    """Check a signature.

    Args:
        public_key: 64 hex digits.
        message: The signed bytes.
        signature: 128 hex digits.

    Raises:
        SignatureError: It is invalid, or key or signature are malformed.
    """
    try:
        _public_key(public_key).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(f"The signature of {public_key[:12]}... is invalid.") from error


@lru_cache(maxsize=32768)
def _public_key(public_key: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
