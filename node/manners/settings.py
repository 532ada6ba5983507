"""The manners among the volunteer's settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from paris.node.manners.times import parse_hours


def _checked_hours(text: str) -> str:
    parse_hours(text)
    return text


def _written(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


class Manners(BaseModel):
    """When and how hard the machine may train. A reason to pause stops the trainer, with a snapshot."""

    hours: Annotated[str, AfterValidator(_checked_hours)] = ""
    """Train only at these times of day by the local clock, such as "22:00-07:00, 12:00-13:00"; empty: at any time."""
    only_when_idle: bool = False
    """Train only while nobody uses keyboard or mouse (as logind knows), and other programs take little of the CPU."""
    not_on_battery: bool = False
    """Pause while the machine runs on its battery."""
    not_while: tuple[Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^/\x00]+$")], ...] = ()
    """Pause while a program of one of these names runs."""
    max_temperature_c: Annotated[int, Field(ge=40, le=110)] | None = None
    """Pause when the device that trains is hotter, until it has cooled down by 10 degrees; None: its driver decides."""
    gpu_memory_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that the trainer may take; None: all of it."""
    gpu_power_limit_w: Annotated[int, Field(ge=20, le=2000)] | None = None
    """Power limit of an NVIDIA GPU while it trains; setting it takes an administrator's rights."""
    keep_awake: bool = True
    """Hold off the system's sleep while the trainer works, where systemd can."""

    @property
    def in_force(self) -> tuple[str, ...]:
        """Each setting that the owner has changed, as it would be written."""
        changed = {name: getattr(self, name) for name in Manners.model_fields if name in self.model_fields_set}
        return tuple(f"{name} = {_written(value)}" for name, value in changed.items())
