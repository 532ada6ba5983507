"""A program of the coordinator on a Ray cluster: python -m paris.coordinator.on_ray ADDRESS GPUS PROGRAM [ARGUMENTS].

`serve --ray` starts this child in the place of one that verifies or trains the router. It takes the same arguments and
requests, and gives the same answers and exit codes; the work is done by Ray tasks, on machines that have this software,
and the run directory under the same path. When this process ends, Ray ends its tasks.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from paris.coordinator.children import Program
from paris.coordinator.errors import WorkerError
from paris.coordinator.ray_address import knock
from paris.coordinator.verify import VerificationAnswer
from paris.experts.installed import missing_module
from paris.protocol.errors import ParisError
from paris.protocol.lifeline import child_environment, exit_with_parent, lines_from_parent
from paris.protocol.streams import protect_streams

_IDLE_S = 600.0
"""The connection to a cluster takes seconds: it is kept for longer than a process that verifies here."""
_NO_CLUSTER = "Check that it runs: ray status --address ADDRESS."
_Task = Callable[[Callable[..., Any]], Any]
"""Makes a Ray task of a function."""


def main(arguments: list[str]) -> int:
    """Run a program on a cluster.

    Args:
        arguments: Address, GPUs of a task, module, and its own arguments.

    Returns:
        The exit code.
    """
    address, gpus, program, *rest = arguments
    protect_streams()
    if program == Program.VERIFY:
        return _verify_lines(address, float(gpus))
    exit_with_parent()
    try:
        return _run_once(_connected(address, float(gpus)), program, rest)
    except ParisError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _connected(address: str, gpus: float) -> _Task:
    """Connect to the cluster.

    Raises:
        WorkerError: The cluster cannot be used.
        MissingModuleError: Ray is not installed.
    """
    try:
        knock(address)
        import ray

        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ImportError as error:
        raise missing_module(error) or WorkerError(f"Ray cannot be imported: {error}.", _NO_CLUSTER) from error
    except Exception as error:  # Ray raises unrelated types here
        raise WorkerError(f"The Ray cluster {address} cannot be used: {error}.", _NO_CLUSTER) from error
    task: _Task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)
    return task


def _verify_lines(address: str, gpus: float) -> int:
    """Answer requests as `paris.coordinator.verify` does; trouble with the cluster is no fault of the submission."""
    task: _Task | None = None
    for line in lines_from_parent(_IDLE_S):
        try:
            task = task or _connected(address, gpus)
            found = _result(task, _answer, line)
        except ParisError as error:
            found = VerificationAnswer(exit_code=error.exit_code, message=str(error)).model_dump_json()
        print(found, flush=True)
    return 0


def _run_once(task: _Task, program: str, arguments: list[str]) -> int:
    code, output = _result(task, _run, program, arguments)
    print(output, end="")
    return int(code)


def _result(task: _Task, work: Callable[..., Any], *arguments: object) -> Any:
    """Do some work in a Ray task. An error of the work itself is raised as it is, and ends this process.

    Raises:
        WorkerError: The cluster lost the task.
    """
    import ray

    try:
        return ray.get(task(work).remote(*arguments))
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        raise WorkerError(f"The Ray cluster lost a task: {' '.join(str(error).split())[:300]}.", _NO_CLUSTER) from error


def _answer(line: bytes) -> str:
    """In a Ray task: verify one case; the process keeps torch for the next one."""
    from paris.coordinator.verify.__main__ import answer_to

    return answer_to(line).model_dump_json()


def _run(program: str, arguments: list[str]) -> tuple[int, str]:
    """In a Ray task: run a module to its end; its exit code and output."""
    child = subprocess.Popen(
        [sys.executable, "-m", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(),
        text=True,
    )
    with child:
        output = child.stdout.read() if child.stdout is not None else ""
        return child.wait(), output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
