"""Whether training is to pause: settings and observations in, a reason out. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from paris.node.manners.pause import Pause
from paris.node.manners.settings import Manners
from paris.node.manners.times import clock_in_words, is_within, next_time_of_day, parse_hours

QUIET_S = 180.0
"""The machine counts as in use for so long after it was last seen in use."""
MAX_OTHERS_SHARE = 0.25
"""Of the processor: what other programs may take on a machine that counts as idle. Source: BOINC's default."""
COOL_DOWN_C = 10.0
"""Between the temperature that pauses and the one that ends the pause."""


@dataclass(frozen=True)
class Observed:
    """What the sensors say; None: there is no such sensor here, and nothing follows from it."""

    now: float
    """UTC seconds."""
    is_on_battery: bool | None = None
    running: frozenset[str] = frozenset()
    """Those of the named programs that run."""
    has_input: bool | None = None
    """Whether keyboard or mouse are in use."""
    others_share: float | None = None
    """Share of the processor that other programs take, 0 to 1."""
    in_use_at: float | None = None
    """When the machine was last seen in use, UTC seconds."""
    temperature_c: float | None = None


def is_in_use(seen: Observed) -> bool:
    """Whether somebody or something else uses the machine at this moment."""
    return bool(seen.has_input) or (seen.others_share is not None and seen.others_share > MAX_OTHERS_SHARE)


def why_pause(manners: Manners, seen: Observed, before: Pause | None = None) -> Pause | None:
    """The first reason to pause.

    Args:
        manners: The owner's settings.
        seen: What was observed now.
        before: The reason until now: what is too hot stays so until it has cooled down.
    """
    return (
        _outside_hours(manners, seen)
        or _on_battery(manners, seen)
        or _beside_a_program(manners, seen)
        or _in_use(manners, seen)
        or _too_hot(manners, seen, before)
    )


def unmeasured(manners: Manners, seen: Observed) -> list[str]:
    """Names of settings that cannot hold here, because nothing measures what they are about."""
    lacks = {
        "not_on_battery": manners.not_on_battery and seen.is_on_battery is None,
        "only_when_idle": manners.only_when_idle and seen.has_input is None and seen.others_share is None,
        "max_temperature_c": manners.max_temperature_c is not None and seen.temperature_c is None,
    }
    return [name for name, is_lacking in lacks.items() if is_lacking]


def _outside_hours(manners: Manners, seen: Observed) -> Pause | None:
    hours, here = parse_hours(manners.hours), time.localtime(seen.now)
    if not hours or is_within(hours, here.tm_hour * 60 + here.tm_min):
        return None
    opens = min(next_time_of_day(f"{begin // 60}:{begin % 60:02d}", seen.now) for begin, _ in hours)
    return Pause("hours", f"outside the hours, until {clock_in_words(opens, seen.now)}", opens)


def _on_battery(manners: Manners, seen: Observed) -> Pause | None:
    return Pause("battery", "on battery") if manners.not_on_battery and seen.is_on_battery else None


def _beside_a_program(manners: Manners, seen: Observed) -> Pause | None:
    names = [name for name in manners.not_while if name in seen.running]
    return Pause("program", f"{names[0]} runs") if names else None


def _in_use(manners: Manners, seen: Observed) -> Pause | None:
    if not manners.only_when_idle or seen.in_use_at is None or seen.now - seen.in_use_at >= QUIET_S:
        return None
    return Pause("in-use", "the machine is in use")


def _too_hot(manners: Manners, seen: Observed, before: Pause | None) -> Pause | None:
    ceiling, now = manners.max_temperature_c, seen.temperature_c
    if ceiling is None or now is None:
        return None
    was_hot = before is not None and before.reason == "temperature"
    if now <= (ceiling - COOL_DOWN_C if was_hot else ceiling):
        return None
    return Pause("temperature", f"hotter than {ceiling} C")
