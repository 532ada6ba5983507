"""The router job in a process that kills itself with SIGKILL when it first writes router/progress.json.

python killed_router_job.py RUN
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from paris.coordinator.run.directory import RunDir
from paris.coordinator.training.router import run_router_job


def kill(event: str, args: tuple[object, ...]) -> None:
    """An audit hook."""
    if event == "os.rename" and str(args[1]).endswith("progress.json"):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.addaudithook(kill)
    run_router_job(RunDir.open(Path(sys.argv[1])))
