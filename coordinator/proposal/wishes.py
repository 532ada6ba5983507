"""What the organiser asks for, and what is proposed: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from paris.coordinator.run.config import RunConfig

CaptionKind = Literal["own", "class", "none"]


@dataclass(frozen=True)
class Wishes:
    """What the organiser asks for; None leaves it to the survey."""

    name: str | None = None
    """The run's name."""
    size: int | None = None
    """Side of the pictures, px."""
    experts: int | None = None
    """K."""
    recipe: str | None = None
    """A recipe whose model, training and text are taken; only what depends on the data is changed."""
    preset: str | None = None
    """Model preset, of a pixel model."""
    steps: int | None = None
    """Steps of each expert."""
    max_rows: int | None = None
    """Largest number of training pictures."""
    captions: CaptionKind | None = None
    """Own captions, classes for those without, or training without text."""
    captioner: str | None = None
    """BLIP or BLIP-2 model for the pictures without a caption."""
    licence: str | None = None
    """Of pictures without one in their metadata; "unknown" if so be it."""
    author: str | None = None
    attribution: str | None = None


@dataclass(frozen=True)
class Reason:
    """Why a setting has its value."""

    setting: str
    """Such as "run.num_experts"."""
    value: str
    why: str
    """A sentence."""


class Reasons:
    """Collects why settings have their values."""

    def __init__(self) -> None:
        self._found: list[Reason] = []

    def add(self, setting: str, value: object, why: str) -> None:
        """Add one: the setting, its value, and a sentence."""
        self._found.append(Reason(setting, str(value), why))

    def all(self) -> tuple[Reason, ...]:
        """All, in the order in which they were added."""
        return tuple(self._found)


@dataclass(frozen=True)
class Proposal:
    """The settings of a run, and why."""

    config: RunConfig
    reasons: tuple[Reason, ...]
