"""The run's key as the service sees it: another process has it."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from paris.coordinator.errors import SignerError
from paris.coordinator.run.directory import PRIVATE_KEY, PUBLIC_KEY, RunDir
from paris.coordinator.signer.messages import MAX_LINE_BYTES, Answered, Ask
from paris.experts.files import write_whole
from paris.protocol.errors import reason_of

_PATIENCE_S = 10.0


class KeyElsewhere:
    """An identity whose private key a signer has. Thread-safe.

    Args:
        path: The signer's socket.

    Raises:
        SignerError: No signer answers there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.public_key = self._ask(Ask(what="key"))

    def sign(self, message: bytes) -> str:
        """Let the signer sign a record; 128 hex digits.

        Raises:
            SignerError: It refuses, or does not answer.
        """
        return self._ask(Ask(what="sign", value=message.hex()))

    def derived_secret(self, purpose: str) -> bytes:
        """A secret that follows from the key, as of `run/derived.py`; errors as of `sign`."""
        return bytes.fromhex(self._ask(Ask(what="derive", value=purpose)))

    def _ask(self, ask: Ask) -> str:
        """By a connection of its own, so that a signer that was restarted is found."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_PATIENCE_S)
                connection.connect(str(self._path))
                connection.sendall(ask.model_dump_json().encode() + b"\n")
                with connection.makefile("rb") as answers:
                    answer = Answered.model_validate_json(answers.readline(MAX_LINE_BYTES))
        except (OSError, ValidationError) as error:
            what = f"No signer answers at {self._path}: {reason_of(error)}."
            raise SignerError(what, "Start it: paris-coord signer RUN --socket SOCKET") from error
        if answer.refused:
            raise SignerError(f"The signer refuses: {answer.refused}", "Its log says more.")
        return answer.value


def open_with_signer(path: Path, socket_path: Path) -> RunDir:
    """Open a run directory whose key a signer has; its public key is kept in keys/run.pub for the other commands.

    Args:
        path: The run directory, without keys/run.key.
        socket_path: The signer's socket.

    Raises:
        SignerError: No signer answers, or it has another run's key; nothing is changed.
        RunDirError, ConfigError: As `RunDir.open`.
    """
    key, known = KeyElsewhere(socket_path), path / PUBLIC_KEY
    if not known.exists() and not (path / PRIVATE_KEY).exists():
        known.parent.mkdir(exist_ok=True)
        write_whole(known, f"{key.public_key}\n".encode())
    run = RunDir.open(path)
    if run.identity.public_key != key.public_key:
        raise SignerError(f"The signer at {socket_path} has the key of another run.", "Name this run's signer.")
    return replace(run, identity=key)
