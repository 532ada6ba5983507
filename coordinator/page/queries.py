"""The parameters of a page's address, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.protocol.fields import LeaseId, PublicKey, TaskId


class BadQueryError(ValueError):
    """An address has a parameter that no page has, or an impossible value."""


class Query(BaseModel):
    """All parameters that pages have; a page ignores those of others."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    page: Annotated[int, Field(ge=1, le=10**6)] = 1
    state: Annotated[str, Field(pattern=r"^[a-z-]{0,20}$")] = ""
    """A task's state, or a verdict's result."""
    kind: Annotated[str, Field(pattern=r"^[a-z-]{0,20}$")] = ""
    """An event's kind."""
    text: Annotated[str, Field(max_length=80)] = ""
    """To search for."""
    before: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Events older than this one."""
    event: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Id, of the run's history; 0: by `time`."""
    time: Annotated[int, Field(ge=0, le=2**40)] = 0
    """UTC seconds, of the run's history; 0: the last."""
    task: Annotated[TaskId | None, Field()] = None
    lease: Annotated[LeaseId | None, Field()] = None
    volunteer: Annotated[PublicKey | None, Field()] = None

    def address(self, **changes: object) -> str:
        """`?...` of the same page with some parameters changed; empty where all have their defaults."""
        fields = self.model_copy(update=changes).model_dump(exclude_defaults=True)
        return f"?{urlencode(fields)}" if fields else "?"


def parse_query(parameters: Mapping[str, str]) -> Query:
    """Check the parameters of an address.

    Raises:
        BadQueryError: Names the first bad one.
    """
    try:
        return Query.model_validate({name: value for name, value in parameters.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        raise BadQueryError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
