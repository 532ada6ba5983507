"""The base class of all configurations in this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from paris.experts.errors import SettingsError

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
RelativePath = Annotated[str, StringConstraints(max_length=200, pattern=rf"^{_NAME}(/{_NAME})*$")]
"""A path that stays inside the folder it starts from."""


class Settings(BaseModel):
    """Base of `ModelConfig`, `TextConfig` and the like: frozen, unknown fields refused, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_settings(cls, values: Mapping[str, Any]) -> Self:
        """Build from a plain mapping, such as a run's description carries.

        Raises:
            SettingsError: A field is unknown, missing or out of range; the message names field and value.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError(_one_line(cls.__name__, error), _known_fields(cls)) from error

    def to_settings(self) -> dict[str, Any]:
        """The plain mapping that `from_settings` takes."""
        return self.model_dump(mode="json")


def _one_line(name: str, error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown field {field!r}")
        elif item["type"] == "missing":
            problems.append(f"field {field!r} is missing")
        elif field:
            problems.append(f"{field} = {item['input']!r}: {item['msg']}")
        else:
            problems.append(item["msg"].removeprefix("Value error, "))
    return f"{name}: {'; '.join(problems)}."


def _known_fields(cls: type[BaseModel]) -> str:
    return f"Its fields are {', '.join(cls.model_fields)}."
