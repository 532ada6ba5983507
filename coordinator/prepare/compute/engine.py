"""Daft, started once a process: on this machine, or on a Ray cluster if an address is given.

The query is the same on both runners. On Ray it is split into tasks of `_TASK_ROWS` rows, which Daft distributes over
the machines; on one machine Daft's threads share it unsplit.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("DAFT_PROGRESS_BAR", "0")  # read when Daft is imported: all modules import it from here
os.environ.setdefault("DAFT_SHOW_QUERY_ID", "0")  # else a line of its own for each query at a terminal

import daft
import pyarrow as pa
from daft.errors import UDFException

from paris.coordinator.prepare.errors import EngineError, PrepareError
from paris.experts.errors import ExpertError
from paris.experts.installed import missing_module

__all__ = ["Engine", "daft", "result_batches"]

_TASK_ROWS = 512
_KNOCK_S = 10.0


@dataclass(frozen=True)
class Engine:
    """Where the work runs. Results do not depend on it, except for the rounding of another kind of processor."""

    ray_address: str | None = None
    """Address of a Ray cluster ("auto", "host:6379", "ray://host:10001"); None computes on this machine."""
    device: str = "cpu"
    """Device of the embedder and the VAE: "cpu", "cuda", "mps"."""
    models: int | None = None
    """Concurrent copies of the embedder, or of the VAE, each in its own process and, with "cuda", on its own GPU. None:
    one in each machine's process, which stays loaded between parts."""

    def start(self) -> None:
        """Set the runner of this process's Daft queries.

        Raises:
            EngineError: Ray does not answer, this process already used the other runner, or there is no such device.
            MissingModuleError: Ray is not installed.
        """
        if self.ray_address is None:
            self._check_device()
            return
        try:
            import ray  # noqa: F401 - Daft's own error does not say how to install it
        except ImportError as error:
            raise missing_module(error) or EngineError(f"Ray cannot be imported: {error}.") from error
        try:
            _knock(self.ray_address)
            daft.set_runner_ray(address=self.ray_address, noop_if_initialized=True)
        except Exception as error:  # Ray and Daft raise unrelated types here
            raise EngineError(
                f"The Ray cluster {self.ray_address} cannot be used: {error}.",
                "Check that it runs: ray status --address ADDRESS.",
            ) from error

    def frame(self, rows: pa.Table) -> daft.DataFrame:
        """Rows as a Daft frame, split into tasks on a Ray cluster."""
        frame = daft.from_arrow(rows)
        return frame if self.ray_address is None else frame.into_partitions(max(1, -(-rows.num_rows // _TASK_ROWS)))

    def model(self, step: type) -> Any:
        """A class of functions.py that runs a network, with this engine's number of copies and GPUs."""
        gpus = 1 if self.device.startswith("cuda") else 0
        return daft.cls(use_process=False, gpus=gpus, max_concurrency=self.models)(step)

    def _check_device(self) -> None:
        import torch

        try:
            torch.empty(1, device=self.device)
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            raise EngineError(
                f"There is no device {self.device!r} on this machine: {str(error).splitlines()[0]}",
                "Give --device cpu, or install a torch that knows the device.",
            ) from error


def _knock(address: str) -> None:
    """Check that something listens at an address; Ray itself would try for minutes.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():  # not "auto"
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def result_batches(frame: daft.DataFrame) -> Iterator[pa.RecordBatch]:
    """Run a query and yield its rows as they are computed.

    Raises:
        PrepareError, ExpertError: Raised by one of our functions inside Daft.
        EngineError: Daft failed.
    """
    try:
        yield from frame.to_arrow_iter()
    except (PrepareError, ExpertError):
        raise
    except UDFException as error:
        cause = error.__cause__
        if isinstance(cause, PrepareError | ExpertError):
            raise cause from error
        raise EngineError(f"Daft could not compute: {cause or error}.") from error
    except daft.exceptions.DaftCoreException as error:
        raise EngineError(f"Daft could not compute: {error}.") from error
