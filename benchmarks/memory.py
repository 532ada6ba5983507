"""Peak memory of one function in a fresh process.

    peak = peak_memory("benchmarks.residency:sample_pictures", folder="/models/made", resident=2)

The process imports the function's module, records its memory, and calls the function. Peak memory is the system's
high-water mark of resident pages (VmHWM), and also the largest of many samples of the proportional set size, in which
shared pages count only in part; on a GPU, the peak of PyTorch's allocator.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import psutil

_SAMPLED_EVERY_S = 0.02


class Peak(NamedTuple):
    """Memory of one call, bytes."""

    before: int
    """In memory once the function's module was imported: Python, torch and their libraries."""
    rss: int
    """The most in memory at any time, `before` included."""
    pss: int | None
    """The largest sample of the proportional set size; None where the system has none."""
    gpu: int | None
    """The most that tensors took on the GPU; None without one."""
    result: Any
    """What the function returned, through JSON."""

    @property
    def added(self) -> int:
        """Peak memory of the call: models, activations, and allocations of libraries."""
        return self.rss - self.before


def peak_memory(target: str, **arguments: Any) -> Peak:
    """Call a function in a fresh process and watch its memory.

    Args:
        target: "module:function"; the function returns what JSON can hold.
        arguments: The function's, of types that JSON can hold.

    Raises:
        subprocess.CalledProcessError: The function raised; its traceback is on the error stream.
    """
    command = [sys.executable, "-m", "benchmarks.memory", target, json.dumps(arguments)]
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    ended, samples = threading.Event(), [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, ended, samples))
    watcher.start()
    output, _ = process.communicate()
    ended.set()
    watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    found = json.loads(output.splitlines()[-1])
    return Peak(pss=max(samples) or None, **found)


def _watch(pid: int, ended: threading.Event, samples: list[int]) -> None:
    """Sample a process's proportional set size until it has ended."""
    try:
        process = psutil.Process(pid)
        while not ended.wait(_SAMPLED_EVERY_S):
            samples.append(getattr(process.memory_full_info(), "pss", 0))
    except psutil.Error:
        return  # the process ended before the stop event was set


def _peak_rss() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Runs in the fresh process: import, call, and print one line of JSON."""
    target, arguments = sys.argv[1], json.loads(sys.argv[2])
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    before = psutil.Process().memory_info().rss
    result = function(**arguments)
    torch = sys.modules.get("torch")
    gpu = torch.cuda.max_memory_allocated() if torch and torch.cuda.is_available() else None
    print(json.dumps({"before": before, "rss": _peak_rss(), "gpu": gpu, "result": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
