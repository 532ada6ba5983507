"""Daft, started once a process: on this machine by default, on a Ray cluster where an address is given.

Every module of this package that needs Daft takes it from here, so that its reports to its makers (sent on import and
with every runner) are switched off before it is imported.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")
os.environ.setdefault("DAFT_PROGRESS_BAR", "0")

import daft
import pyarrow as pa
from daft.errors import UDFException

from paris.coordinator.prepare.errors import EngineError, PrepareError
from paris.experts.errors import ExpertError

__all__ = ["daft", "result_batches", "start_engine"]


def start_engine(ray_address: str | None) -> None:
    """Choose where Daft's queries of this process run.

    Args:
        ray_address: Address of a Ray cluster ("auto", "ray://host:10001"); None computes on this machine.

    Raises:
        EngineError: Ray is not installed or does not answer, or this process has already used the other runner.
    """
    if ray_address is None:
        return
    if importlib.util.find_spec("ray") is None:
        raise EngineError(
            f"Preparing on the Ray cluster {ray_address} needs Ray, which is not installed.",
            "Run pip install 'daft[ray]', or leave the Ray address out to prepare on this machine.",
        )
    try:
        daft.set_runner_ray(address=ray_address, noop_if_initialized=True)
    except Exception as error:  # Ray and Daft raise unrelated types here
        raise EngineError(
            f"The Ray cluster {ray_address} cannot be used: {error}.",
            "Check that it runs: ray status --address ADDRESS.",
        ) from error


def result_batches(frame: daft.DataFrame) -> Iterator[pa.RecordBatch]:
    """Run a query and give its rows as they come.

    Raises:
        PrepareError, ExpertError: Raised inside one of our functions, and passed on as it is.
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
