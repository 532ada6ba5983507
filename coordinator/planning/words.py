"""Times and bytes in words."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def duration(seconds: float) -> str:
    """As '45 s', '12 min', '3.4 h', '15 days'."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.3g} h"
    return f"{seconds / _DAY:.3g} days" if seconds < 1000 * _DAY else f"{seconds / _DAY:,.0f} days"


def gpu_time(seconds: float) -> str:
    """As '45 s', '12 min', '3.4 h', '7,040 h': hours of a machine, never days."""
    hours = seconds / _HOUR
    return duration(seconds) if seconds < 2 * _DAY else f"{hours:,.0f} h"


def size(num_bytes: float) -> str:
    """As '45 kB', '1.2 MB', '34 GB': powers of 1000, as disks and downloads are sold."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.3g} {unit}"
    return f"{num_bytes:.0f} B"
