"""chain.json of a submission: the snapshots of a leg, from its start to the state that is handed in.

{"format": 1, "task": "<sha256>", "start": {"step": 500, "commitment": "<sha256>"},
 "links": [{"step": 750, "files": {"weights": "<sha256>", "ema": ..., "optimizer": ...}, "commitment": ...}, ...]}

It comes from strangers: parsing checks its form. Whether the links follow from each other is for the reader to compute
(`commitment_of` in `paris.experts.training.commitments`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paris.protocol.canonical import canonical_bytes, parse_json
from paris.protocol.errors import RecordError
from paris.protocol.fields import Sha256, Steps

MAX_LINKS = 4096
MAX_CHAIN_BYTES = 512 * MAX_LINKS
"""A link takes up to 350 bytes."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ChainStart(_Part):
    """The state where the leg starts; at step 0 the commitment is 64 zeros."""

    step: Steps
    commitment: Sha256


class LinkFiles(_Part):
    """SHA-256 of a snapshot's files."""

    weights: Sha256
    ema: Sha256
    optimizer: Sha256


class Link(_Part):
    """One scheduled snapshot."""

    step: Annotated[int, Field(ge=1, le=10**9)]
    files: LinkFiles
    commitment: Sha256


class Chain(_Part):
    """The whole file. The last link is the state that is handed in."""

    format: Literal[1] = 1
    task: Sha256
    """Digest of the training task: `TrainingTask.digest`."""
    start: ChainStart
    links: Annotated[tuple[Link, ...], Field(min_length=1, max_length=MAX_LINKS)]

    @model_validator(mode="after")
    def _steps_grow(self) -> Self:
        steps = [self.start.step, *(link.step for link in self.links)]
        for before, after in pairwise(steps):
            if after <= before:
                raise ValueError(f"step {after} follows step {before}")
        return self

    def to_bytes(self) -> bytes:
        """The file's content: equal chains give equal bytes."""
        return canonical_bytes(self.model_dump(mode="json"))


def parse_chain(data: bytes) -> Chain:
    """Read a chain.json.

    Raises:
        RecordError: Too long, not JSON, or not a chain.
    """
    raw = parse_json(data, max_bytes=MAX_CHAIN_BYTES)
    try:
        return Chain.model_validate_json(canonical_bytes(raw))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise RecordError(
            f"chain.json is not the chain of a leg: {f'{place}: ' if place else ''}{problem['msg']}."
        ) from error
