"""What the service asks the signer, and its answers: one JSON object a line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_LINE_BYTES = 32_768
"""A record has at most 4096 bytes; in hexadecimal, with room for the rest."""


class Ask(BaseModel):
    """One question."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    what: Literal["key", "sign", "derive"]
    value: Annotated[str, Field(max_length=MAX_LINE_BYTES)] = ""
    """To sign: the bytes of a record that are signed, hexadecimal. To derive: the purpose of the secret."""


class Answered(BaseModel):
    """The answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    value: Annotated[str, Field(max_length=256)] = ""
    """The public key, the signature or the secret, hexadecimal."""
    refused: Annotated[str, Field(max_length=1000)] = ""
    """Why there is no value."""
