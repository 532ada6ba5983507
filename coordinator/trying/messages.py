"""What the page's process and the model's process say to each other, a JSON object a line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MOST_PROMPT_CHARS = 500
MOST_STEPS = 200
MOST_GUIDANCE = 30.0
RoutingName = Literal["ancestral", "top1", "top2", "top3", "full", "threshold"]


class Message(BaseModel):
    """Immutable and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Message):
    """Which model to load, and how."""

    model: str
    """A release folder, or `org/repo` on a Hub."""
    endpoint: str | None = None
    revision: str | None = None
    device: str | None = None
    max_resident_experts: int | None = None


class Ask(Message):
    """One picture; None is the model's own setting."""

    prompt: Annotated[str, Field(max_length=MOST_PROMPT_CHARS)] = ""
    """Empty for a model without text."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    routing: RoutingName | None = None
    guidance: Annotated[float, Field(ge=0, le=MOST_GUIDANCE, allow_inf_nan=False)] | None = None
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None


class About(Message):
    """The model that was loaded."""

    kind: Literal["about"] = "about"
    name: str
    num_experts: int
    reads_text: bool
    steps: int
    guidance: float
    routing: str
    """Its own settings."""


class Stage(Message):
    """The picture on the way."""

    step: int
    """Steps that were taken."""
    t: float
    """Flow time that was reached: 1 is noise, 0 the picture."""
    picture: str
    """PNG in base64."""


class Drawn(Message):
    """A picture, and how it came about."""

    kind: Literal["drawn"] = "drawn"
    picture: str
    """PNG in base64."""
    stages: tuple[Stage, ...]
    """The last one is the picture."""
    experts: tuple[int, ...]
    """Numbers of the experts, one a column of `weights`."""
    times: tuple[float, ...]
    """Flow time at which each step began."""
    weights: tuple[tuple[float, ...], ...]
    """A row for each step, which sums to one."""
    seconds: float
    notes: tuple[str, ...] = ()
    """Such as words that the model does not know."""


class Refused(Message):
    """Why there is no picture, or no model."""

    kind: Literal["refused"] = "refused"
    message: str


Answer = Annotated[About | Drawn | Refused, Field(discriminator="kind")]
ANSWER: TypeAdapter[About | Drawn | Refused] = TypeAdapter(Answer)
