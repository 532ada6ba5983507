"""Measured speeds: starts the measuring child, and remembers what it found in the run directory (`speeds.json`)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import RunDirError, WorkerError
from paris.coordinator.planning.facts import Facts
from paris.coordinator.planning.speed import MeasuredStep, Speed
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.experts.errors import SettingsError
from paris.experts.files import write_whole
from paris.experts.models.presets import ModelConfig

AUTO = "auto"
"""In place of a device: a GPU if torch has one, else the CPU."""
_BUDGET_S = 6.0


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasuredCase(_Closed):
    """A training to measure steps of: its shape, and the rows of its step."""

    model: ModelConfig
    batch_size: Annotated[int, Field(ge=1)]


class MeasureRequest(_Closed):
    """The child's order."""

    cases: tuple[MeasuredCase, ...]
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    """Torch's name, or `AUTO`."""
    threads: Annotated[int, Field(ge=1)] = 1
    budget_s: Annotated[float, Field(gt=0)] = _BUDGET_S
    """Seconds for all cases together, without the imports."""


class MeasuredDevice(_Closed):
    """The speed of a device, and the steps that it was fitted to."""

    device: str
    """Torch's name: cpu, cuda, mps."""
    label: str
    """For people."""
    threads: Annotated[int, Field(ge=1)]
    """CPU threads of one training."""
    cores: Annotated[int, Field(ge=1)]
    memory_bytes: Annotated[int, Field(ge=0)]
    precision: str
    start_s: Annotated[float, Field(gt=0)]
    """From the start of a process until torch is imported."""
    speed: Speed
    steps: tuple[MeasuredStep, ...]


class Refusal(_Closed):
    """The child's answer where it cannot measure: a `SettingsError`."""

    what: str
    next_step: str


class _File(_Closed):
    """speeds.json."""

    devices: tuple[MeasuredDevice, ...]


def measure_device(request: MeasureRequest, log_dir: Path) -> MeasuredDevice:
    """Measure steps of the real training in a child process, and fit the device's speed to them.

    Args:
        request: What to measure, and where.
        log_dir: Folder of the child's output, `measure.log`.

    Raises:
        SettingsError: Torch has no such device, or it lacks the precision.
        WorkerError: The child failed otherwise: the device's memory is too small, say.
    """
    children = Children(log_dir)
    with tempfile.TemporaryDirectory(prefix="paris-measure-") as folder:
        order, answer = Path(folder) / "order.json", Path(folder) / "answer.json"
        write_whole(order, request.model_dump_json().encode())
        try:
            children.run("measure", Program.MEASURE, str(order), str(answer))
        except WorkerError:
            if not answer.is_file():
                raise
            refusal = Refusal.model_validate_json(answer.read_bytes())
            raise SettingsError(refusal.what, refusal.next_step) from None
        finally:
            children.stop()
        return MeasuredDevice.model_validate_json(answer.read_bytes())


def measure_run(run: RunDir, facts: Facts, device: str | None, threads: int | None) -> MeasuredDevice:
    """Measure the run's own training on this machine, and remember the result in the run directory.

    Args:
        run: The run directory.
        facts: Its shapes.
        device: Torch's name; None: that of [compute].
        threads: CPU threads; None: those of [compute], else as many as there are cores.

    Raises:
        SettingsError: As `measure_device`.
        WorkerError: As `measure_device`.
    """
    compute = run.config.compute
    order = {
        "cases": (MeasuredCase(model=facts.model, batch_size=facts.batch_size),),
        "precision": facts.precision,
        "device": device or compute.device,
        "threads": threads or compute.num_threads or _cores(),
    }
    request = MeasureRequest.model_validate(order)
    found = measure_device(request, run.logs)
    remember_device(run, found)
    return found


def _cores() -> int:
    """Physical cores, as a node counts them for its threads."""
    import psutil

    return int(psutil.cpu_count(logical=False) or psutil.cpu_count() or 1)


def read_devices(run: RunDir) -> list[MeasuredDevice]:
    """The devices measured for the run, in its precision.

    Raises:
        RunDirError: The file is damaged.
    """
    precision = str(run.config.expert_training.get("precision", "float32"))
    return [device for device in _read(run) if device.precision == precision]


def remember_device(run: RunDir, device: MeasuredDevice) -> None:
    """Write a measured device into the run directory, in place of an earlier measurement of it."""
    kept = [other for other in _read(run) if (other.label, other.precision) != (device.label, device.precision)]
    content = _File(devices=(*kept, device)).model_dump(mode="json")
    write_whole(_path(run), json.dumps(content, indent=1).encode())


def _read(run: RunDir) -> Sequence[MeasuredDevice]:
    path, remedy = _path(run), "Remove it, and measure again: paris-coord plan RUN --measure."
    if not path.is_file():
        return ()
    try:
        return _File.model_validate(read_object(path, remedy)).devices
    except ValidationError as error:
        raise RunDirError(f"{path} is damaged: it lists no measured devices.", remedy) from error


def _path(run: RunDir) -> Path:
    return run.path / "speeds.json"
