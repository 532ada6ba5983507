"""Older formats of unit.json, and their way to the present one.

1   a finished training named one file, work/expert.safetensors
2   it names every file of its submission; the unit names its volunteer
3   it may be an audit of another's stretch
"""

from __future__ import annotations

import json
from typing import Any, Literal

from paris.protocol.hub_layout import WEIGHTS_FILE

FORMAT: Literal[3] = 3


def format_of(data: bytes) -> int:
    """The format that a unit.json names; 1 if it names none, 0 if it is no JSON object."""
    try:
        found = json.loads(data).get("format", 1)
    except (ValueError, AttributeError, RecursionError):
        return 0
    return found if isinstance(found, int) else 0


def migrated(data: bytes) -> bytes:
    """The content of a unit.json in the present format; what is no older unit is returned as it is."""
    found = format_of(data)
    if found not in (1, 2):
        return data
    unit = json.loads(data)
    return json.dumps({**(_from_1(unit) if found == 1 else unit), "format": FORMAT}).encode("utf-8")


def _from_1(unit: dict[str, Any]) -> dict[str, Any]:
    finished = unit.get("finished")
    if isinstance(finished, dict):
        file = {name: finished.pop(name, None) for name in ("sha256", "bytes")}
        finished["files"] = [{"name": WEIGHTS_FILE, "path": f"work/{WEIGHTS_FILE}", **file}]
    return unit
