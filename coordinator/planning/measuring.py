"""The child process that measures: `python -m paris.coordinator.planning.measuring ORDER ANSWER`.

It takes steps of the real training, with its loader, on made rows. A step that would take long is measured with fewer
layers and rows: the fitted speed carries it to the whole.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from paris.coordinator.console import fail_worker
from paris.coordinator.planning.measured import AUTO, MeasuredCase, MeasuredDevice, MeasureRequest, Refusal
from paris.coordinator.planning.speed import MeasuredStep, fit_speed
from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import Row, write_shard
from paris.experts.errors import SettingsError
from paris.experts.files import write_whole
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.flops import step_flops
from paris.experts.models.model import initial_expert
from paris.experts.models.presets import ModelConfig
from paris.experts.training.batches import Batch, Batches
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.training.loader import Loader
from paris.experts.training.machine import MachineSettings, configure_model, keep_freed_memory, make_deterministic
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.precision import check_precision
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep
from paris.protocol.counted import counted

_WARM_UP_STEPS = 2
_LEAST_STEPS = 4
_MOST_STEPS = 60
_FIRST_FLOPS = 20e9
"""Largest step of one row that is taken before anything is known of the device."""
_STEPS_IN_BUDGET = 9
_MADE_ROWS = 64


def measure(request: MeasureRequest) -> MeasuredDevice:
    """Measure all cases, and fit the speed of the device.

    Raises:
        SettingsError: Torch has no such device, or it lacks the precision.
    """
    start_s = _age_s()
    device = _device(_present() if request.device == AUTO else request.device)
    request = request.model_copy(update={"device": str(device)})
    make_deterministic(device, request.threads)
    check_precision(device, request.precision)
    if device.type == "cpu":
        keep_freed_memory()
    each_s = request.budget_s / len(request.cases)
    steps = tuple(step for case in request.cases for step in _measured(case, request, each_s))
    label, memory_bytes = _described(device, request.threads)
    return MeasuredDevice(
        device=request.device,
        label=label,
        threads=request.threads,
        cores=_cores(),
        memory_bytes=memory_bytes,
        precision=request.precision,
        start_s=start_s,
        speed=fit_speed(steps),
        steps=steps,
    )


def _present() -> str:
    """The GPU that torch can use, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _measured(case: MeasuredCase, request: MeasureRequest, budget_s: float) -> Iterator[MeasuredStep]:
    """A step of one row, then one of as many rows as the time allows."""
    model = _shallower(case.model)
    first = _timed(model, 1, request, budget_s / 3)
    yield first
    rows = min(case.batch_size, max(2, int(budget_s / _STEPS_IN_BUDGET / first.seconds)))
    if rows > 1:
        yield _timed(model, rows, request, budget_s * 2 / 3)


def _shallower(model: ModelConfig) -> ModelConfig:
    """The model with as many layers as keep a first step short."""
    layers = model.num_layers
    while layers > 1 and step_flops(model.model_copy(update={"num_layers": layers}), 1, 1) > _FIRST_FLOPS:
        layers = -(-layers // 2)
    return model.model_copy(update={"num_layers": layers})


def _timed(model: ModelConfig, rows: int, request: MeasureRequest, budget_s: float) -> MeasuredStep:
    """The median time of steps of so many rows."""
    with _training(model, rows, request) as step:
        for _ in range(_WARM_UP_STEPS):
            step()
        seconds: list[float] = []
        end = time.perf_counter() + budget_s
        while len(seconds) < _LEAST_STEPS or (time.perf_counter() < end and len(seconds) < _MOST_STEPS):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
    flops = step_flops(model, model.max_text_tokens, rows)
    return MeasuredStep(num_layers=model.num_layers, flops=flops, seconds=statistics.median(seconds))


@contextmanager
def _training(model: ModelConfig, rows: int, request: MeasureRequest) -> Iterator[Callable[[], float]]:
    """Yields a function that takes the next step of a training, and returns its loss."""
    device = torch.device(request.device)
    with TemporaryDirectory(prefix="paris-measure-") as folder:
        task, shard = _made_task(model, rows, request.precision, Path(folder))
        expert = initial_expert(model, task.seed).to(device)
        configure_model(expert, MachineSettings(device=request.device, num_threads=request.threads))
        step = TrainStep(TrainState(expert, task.training), MicroBatch(rows), task.training.objective)
        encoder = load_text_encoder(task.text, Path(folder), device)
        batches = Batches(task, ClusterData([shard]), load_codec(task.codec, Path(folder)), encoder)
        with Loader(batches.batch, 0, task.steps, 2, device) as loader:

            def take() -> float:
                batch: Batch = loader.next()
                return float(step(batch))  # waits for the device

            yield take


def _made_task(model: ModelConfig, rows: int, precision: str, folder: Path) -> tuple[TrainingTask, Path]:
    """A training task of the shape, and its one shard of made rows with captions of full length."""
    words = [f"word{number}" for number in range(model.max_text_tokens)]
    text = TextConfig(kind="none")
    if model.reads_text:
        write_vocabulary(folder / "vocab.json", words)
        text = TextConfig(kind="vocabulary", dim=model.text_embed_dim, max_tokens=model.max_text_tokens)
    shape, is_latent = (model.in_channels, model.image_size, model.image_size), model.in_channels != 3
    dtype = "float16" if is_latent else "uint8"
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    latent = (values / 128 - 1).astype("<f2") if is_latent else values
    made = Row("row", latent, " ".join(words), "made", "", "", "", "")
    count, shard = max(rows, _MADE_ROWS), folder / "shard.parquet"
    write_shard(shard, [made] * count, shape, dtype)
    steps = _MOST_STEPS + _WARM_UP_STEPS + 1
    training = TrainingConfig.from_settings({"steps": steps, "batch_size": rows, "precision": precision})
    task = TrainingTask(
        run_id="measured",
        seed=0,
        task_id="expert-0",
        model=model,
        training=training,
        text=text,
        codec=CodecConfig(kind="vae" if is_latent else "pixels"),
        shard_rows=(count,),
    )
    return task, shard


def _device(name: str) -> torch.device:
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise SettingsError(f"Torch has no device {name!r} here: {why}.", "Give another --device.") from error


def _described(device: torch.device, threads: int) -> tuple[str, int]:
    """Name and memory in bytes."""
    import psutil

    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"this machine: {properties.name}", int(properties.total_memory)
    kind = "CPU" if device.type == "cpu" else device.type
    return f"this machine: {kind}, {counted(threads, 'thread')}", int(psutil.virtual_memory().total)


def _age_s() -> float:
    """Seconds since this process started."""
    import psutil

    return max(0.01, time.time() - float(psutil.Process().create_time()))


def _cores() -> int:
    import psutil

    return int(psutil.cpu_count() or 1)


def main() -> None:
    """Read the order, measure, write the answer, or why there is none."""
    order, answer = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        found = measure(MeasureRequest.model_validate_json(order.read_bytes()))
    except SettingsError as error:
        write_whole(answer, Refusal(what=error.what, next_step=error.next_step).model_dump_json().encode())
        raise
    write_whole(answer, found.model_dump_json(indent=1).encode())


if __name__ == "__main__":
    fail_worker(main)
