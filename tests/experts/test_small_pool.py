"""What the benchmarks compute in processes of their own ends with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
from deadlines import DEADLINE_S

_ROOT = Path(__file__).parents[2]

_PROGRAM = """
import os, threading
from benchmarks.small.pool import processes

def compute():
    print(os.getpid(), flush=True)
    threading.Event().wait(600)

if __name__ == "__main__":
    with processes(1) as pool:
        pool.submit(compute)
"""


def test_a_process_ends_when_the_benchmark_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    command, environment = [sys.executable, str(program)], {**os.environ, "PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as benchmark:
        child = psutil.Process(int(benchmark.stdout.readline()))
        benchmark.kill()
        child.wait(DEADLINE_S)
    assert not child.is_running()
