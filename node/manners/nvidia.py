"""What nvidia-smi says of NVIDIA GPUs, and their power limit."""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_logger = logging.getLogger(__name__)
_ASK_TIMEOUT_S = 10


def ask_nvidia(*arguments: str) -> list[str] | None:
    """The lines that nvidia-smi prints; empty if it fails, None without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        answer = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.splitlines()


@dataclass(frozen=True)
class GpuReading:
    """Temperature and power of one GPU now; None: its driver does not say."""

    temperature_c: float | None
    power_w: float | None


def read_gpu(uuid: str) -> GpuReading:
    """Read the sensors of the GPU with a UUID, such as "GPU-8f2c..."."""
    lines = ask_nvidia(f"--id={uuid}", "--query-gpu=temperature.gpu,power.draw", "--format=csv,noheader,nounits")
    first, _, second = (lines[0] if lines else "").partition(",")
    return GpuReading(_number(first), _number(second))


@contextlib.contextmanager
def power_limit(uuid: str | None, watts: int | None, tell: Callable[[str], None]) -> Iterator[None]:
    """Limit a GPU's power during the block, and restore its own limit after it.

    Args:
        uuid: Of an NVIDIA GPU; None: there is nothing to limit.
        watts: The limit; None changes nothing.
        tell: Called with a sentence if the limit cannot be set; the block runs all the same.
    """
    if uuid is None or watts is None:
        yield
        return
    lines = ask_nvidia(f"--id={uuid}", "--query-gpu=power.limit", "--format=csv,noheader,nounits")
    before = _number(lines[0]) if lines else None
    is_set = before is not None and bool(ask_nvidia(f"--id={uuid}", f"--power-limit={watts}"))
    if not is_set:
        tell(
            f"The GPU's power limit stays as it is: setting {watts} W takes an administrator's rights, and a GPU that "
            f"allows it. Set it once: sudo nvidia-smi --id={uuid} --power-limit={watts}"
        )
    try:
        yield
    finally:
        if is_set and not ask_nvidia(f"--id={uuid}", f"--power-limit={before:g}"):
            _logger.warning("The GPU's power limit could not be set back to %g W.", before)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
