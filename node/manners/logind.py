"""Whether somebody uses keyboard or mouse, as systemd's logind knows it of all sessions."""

from __future__ import annotations

import shutil
import subprocess

_TIMEOUT_S = 5
_PROPERTY = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "IdleHint")


def has_input() -> bool | None:
    """Whether a session is in use; None where logind does not answer.

    Desktops call a session idle after some minutes without keyboard and mouse; a terminal is in use up to a while after
    its last key.
    """
    tool = shutil.which("busctl")
    if tool is None:
        return None
    command = [tool, "--no-pager", f"--timeout={_TIMEOUT_S}", "get-property", *_PROPERTY]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=2 * _TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return {"b true": False, "b false": True}.get(answer.strip())
