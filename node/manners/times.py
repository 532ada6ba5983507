"""Times as a volunteer writes them: "2h" is a duration, "18:00" the next such time of day."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from paris.node.errors import SettingsError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:[0-9]{1,6}[smhd])+")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_LONGEST_S = 366 * 86400


def duration_s(text: str) -> float:
    """Seconds of a duration such as "90m", "2h" or "1d12h".

    Raises:
        SettingsError: It is no duration, or none between a second and a year.
    """
    parts = re.findall(r"([0-9]+)([smhd])", text) if _DURATION.fullmatch(text) else []
    seconds = sum(int(count) * _UNITS_S[unit] for count, unit in parts)
    if not 1 <= seconds <= _LONGEST_S:
        raise SettingsError(f"{text!r} is no duration.", "Write it as 45s, 90m, 2h, 1d or 1h30m, up to a year.")
    return float(seconds)


def minute_of_day(text: str) -> int:
    """Minutes since midnight of a time such as "7:30"; "24:00" is the end of the day.

    Raises:
        SettingsError: It is no time of day.
    """
    found = _CLOCK.fullmatch(text.strip())
    minute = int(found[1]) * 60 + int(found[2]) if found else -1
    if found is None or int(found[2]) > 59 or minute > 1440:
        raise SettingsError(f"{text!r} is no time of day.", "Write it as 18:00.")
    return minute


def next_time_of_day(text: str, now: float) -> float:
    """UTC seconds at which the local clock next shows a time such as "18:00".

    Args:
        text: The time of day.
        now: UTC seconds.

    Raises:
        SettingsError: It is no time of day.
    """
    hours, minutes = divmod(minute_of_day(text), 60)
    here = datetime.fromtimestamp(now)
    at = here.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(hours=hours, minutes=minutes)
    # Naive local times: `timestamp` applies the offset of that day, which summer time may change.
    return (at if at > here else at + timedelta(days=1)).timestamp()


def clock_in_words(at: float, now: float) -> str:
    """A time for people: "18:40", with the date where it is more than a day away.

    Args:
        at: UTC seconds.
        now: UTC seconds.
    """
    return time.strftime("%H:%M" if abs(at - now) < 86400 else "%Y-%m-%d %H:%M", time.localtime(at))


Hours = tuple[tuple[int, int], ...]
"""Ranges of the local day as minutes since midnight, each from its first minute up to its last; the end may be earlier
than the beginning: over midnight."""


def parse_hours(text: str) -> Hours:
    """Read ranges such as "22:00-07:00, 12:00-13:30"; an empty text has none.

    Raises:
        ValueError: It has another form, or a range is empty.
    """
    ranges = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        begin, _, end = part.partition("-")
        try:
            minutes = minute_of_day(begin), minute_of_day(end)
        except SettingsError as error:
            raise ValueError(f"must be ranges such as 22:00-07:00, separated by commas; {error.what}") from error
        if minutes[0] == minutes[1]:
            raise ValueError(f"must be ranges such as 22:00-07:00; {part} is empty.")
        ranges.append(minutes)
    return tuple(ranges)


def is_within(hours: Hours, minute: int) -> bool:
    """Whether a minute of the day is in one of the ranges.

    Args:
        hours: The ranges.
        minute: 0 to 1439.
    """
    return any(begin <= minute < end if begin < end else minute >= begin or minute < end for begin, end in hours)
