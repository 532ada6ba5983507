"""What check-config says about a setting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """One setting that is off."""

    setting: str
    """Such as "tasks.steps"."""
    value: str
    what: str
    """Why it is off, a clause."""
    next_step: str
    """A sentence."""
    is_error: bool = True
    """It cannot work; False: it is unusual."""
