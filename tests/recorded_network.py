"""Which hosts a process and its children look up or connect to; `network_recorder/` records them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_RECORDER = Path(__file__).with_name("network_recorder")
_LOOPBACK = ("'127.0.0.1'", "'::1'", "'localhost'", "None")


def recording(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for processes whose look-ups and connections are appended to a file.

    Without the variables by which libraries are told to stay silent: the programs set them themselves.
    """
    kept = {name: value for name, value in environment.items() if not _is_silencer(name)}
    path = os.pathsep.join(filter(None, (str(_RECORDER), kept.get("PYTHONPATH"))))
    # A folder of its own: a list that an earlier process saved would hide a look-up.
    return {**kept, "PYTHONPATH": path, "NETWORK_RECORD": str(file), "HF_HOME": str(file.with_name("hf-home"))}


def off_loopback(lines: list[str]) -> list[str]:
    """Those lines of a record that name anything but this machine."""
    return [line for line in lines if line.split(" ", 2)[1] not in _LOOPBACK]


def _is_silencer(name: str) -> bool:
    return name.startswith(("HF_", "DAFT_")) or "TRACK" in name
