"""Holds off the system's sleep, by `systemd-inhibit` where it is there; elsewhere nothing is done."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_BOOTED = Path("/run/systemd/system")
"""There if systemd runs the machine. Source: sd_booted(3)."""


@contextlib.contextmanager
def kept_awake(wanted: bool, booted: Path = _BOOTED) -> Iterator[None]:
    """The system does not fall asleep by itself during the block; a closed lid still sends it to sleep.

    The lock is held by a child that reads a pipe of this process: it ends with it, however it ends. Only "sleep" is
    held off: "idle" would keep the screen on, and would make logind say that the machine is in use.

    Args:
        wanted: False does nothing.
        booted: A folder that is there if systemd runs the machine.
    """
    tool, reader = shutil.which("systemd-inhibit"), shutil.which("cat")
    if not wanted or tool is None or reader is None or not booted.is_dir():
        yield
        return
    command = [tool, "--what=sleep", "--who=paris-node", "--why=Training an expert", "--mode=block", reader]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        if holder.stdin is not None:
            with contextlib.suppress(OSError):
                holder.stdin.close()
        holder.wait()
