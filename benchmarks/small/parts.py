"""One trained part, an expert or the monolith, through `ExpertTraining`: the very code that a volunteer's machine runs.

<folder>/work/<part>/snapshots ...  expert.safetensors        gone on with where it stopped
<folder>/work/<part>/report.json                              losses, seconds
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from benchmarks.small.clusters import read_clusters, shard
from benchmarks.small.settings import LEARNING, SmallSettings, read_settings
from paris.experts.files import write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.models.flops import step_flops
from paris.experts.models.initial_weights import InitialWeights, write_initial_weights
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import Objective
from paris.experts.settings import Settings
from paris.experts.training.config import Progress, TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.weights.checkpoint import load_tensors, specs_of

_REPORT_EVERY = 50


class Part(Settings):
    """One model to be trained, and on what."""

    clustering: str
    cluster: Annotated[int, Field(ge=0)] = 0
    batch_size: Annotated[int, Field(ge=1)]
    steps: Annotated[int, Field(ge=1)]
    hidden_size: Annotated[int, Field(ge=16)] | None = None
    """None: that of the settings."""
    num_layers: Annotated[int, Field(ge=1)] | None = None
    """None: that of the settings."""
    rate: Annotated[float, Field(gt=0)] = 1.0
    """Times the learning rate that it would have."""
    times: Literal["uniform", "logit-normal"] | None = None
    """None: those of the settings."""
    is_again: bool = False
    """Trained once more, by another volunteer: on other batches of the same rows."""
    objective: Literal["flow", "epsilon"] = "flow"
    start: str | None = None
    """Name of the part whose weights this one starts from."""
    is_student: bool = False
    """Learns what the experts of its clustering say, on the rows of all."""
    lanes: Annotated[int, Field(ge=1)] = 1
    """Volunteers that train it side by side (`lanes.py`)."""
    round_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of each lane between two means; None: it has one lane."""
    outer: Literal["mean", "nesterov"] = "mean"
    """How the next round starts: at the mean, or at a step of momentum towards it."""

    @property
    def name(self) -> str:
        """Unique among all parts of a folder: the same part of two arms is trained once."""
        ways = [f"b{self.batch_size}", f"s{self.steps}"]
        ways += [f"h{self.hidden_size}"] if self.hidden_size else []
        ways += [f"l{self.num_layers}"] if self.num_layers else []
        ways += [self.objective] if self.objective != "flow" else []
        ways += [f"r{self.rate:g}"] if self.rate != 1.0 else []
        ways += [self.times] if self.times else []
        ways += ["again"] if self.is_again else []
        ways += ["warm"] if self.start else []
        ways += ["student"] if self.is_student else []
        ways += [f"lanes{self.lanes}x{self.round_steps}", self.outer] if self.round_steps else []
        return ".".join([self.clustering, str(self.cluster), *ways])

    def model(self, settings: SmallSettings) -> ModelConfig:
        """Its shape."""
        changed = {"hidden_size": self.hidden_size, "num_layers": self.num_layers}
        changed = {name: value for name, value in changed.items() if value is not None}
        return settings.model.model_copy(update=changed)

    def flops(self, settings: SmallSettings) -> int:
        """Of its whole training; the last round is one lane's."""
        model, steps = self.model(settings), self.steps
        if self.round_steps:
            steps += (self.lanes - 1) * last_round_start(self)
        return steps * step_flops(model, model.max_text_tokens, self.batch_size)


def last_round_start(part: Part) -> int:
    """The step from which one lane goes on alone, of a part with rounds."""
    every = part.round_steps or part.steps
    return (part.steps - 1) // every * every


def weights_of(folder: Path, part: Part) -> Path:
    """Where a trained part has its weights."""
    return folder / "work" / part.name / "expert.safetensors"


def load_part(folder: Path, part: Part) -> DiTExpert:
    """A trained part, ready to be sampled.

    Raises:
        CheckpointError: It is not trained.
    """
    model = DiTExpert(part.model(read_settings(folder)))
    model.load_state_dict(load_tensors(weights_of(folder, part), specs_of(model.state_dict())))
    return model.eval().requires_grad_(False)


def train_part(folder: Path, part: Part, start: Part | None = None, say: Callable[[str], None] = print) -> None:
    """Train one part to the end, or do nothing where that is done. Takes the process for itself.

    Args:
        folder: The benchmark's folder, with its shards.
        part: What.
        start: The part whose weights it starts from, trained; where `part.start` names one.
        say: Called with a line of progress now and then.
    """
    if weights_of(folder, part).is_file():
        return
    path = shard(folder, part.clustering, part.cluster)
    run_training(folder, part, task_of(folder, read_settings(folder), part, start), lambda _: path, say)


def run_training(
    folder: Path,
    part: Part,
    task: TrainingTask,
    shard_path: Callable[[int], Path],
    say: Callable[[str], None],
    **options: Any,
) -> None:
    """Train to the end, and keep what it took.

    Args:
        folder: The benchmark's folder.
        part: What it is called.
        task: What is trained.
        shard_path: The file of shard i.
        say: Called with a line of progress now and then.
        options: Further ones of `ExpertTraining`.
    """
    work = folder / "work" / part.name
    losses: list[tuple[int, float]] = []

    def report(progress: Progress) -> None:
        if progress.loss is not None:
            losses.append((progress.step, progress.loss))
        if progress.step % 1000 == 0 and progress.loss is not None:
            speed = f"{progress.steps_per_s:.1f} steps/s"
            say(f"{part.name}: step {progress.step} of {progress.steps}, loss {progress.loss:.4f}, {speed}")

    began = time.monotonic()
    training = ExpertTraining(task, work, shard_path, folder / "data", report_every=_REPORT_EVERY, **options)
    training.run(report, lambda: False)
    facts: dict[str, Any] = {"losses": losses, "seconds": round(time.monotonic() - began, 1)}
    write_whole(work / "report.json", json.dumps(facts).encode())


def task_of(folder: Path, settings: SmallSettings, part: Part, start: Part | None) -> TrainingTask:
    """What a volunteer would be given.

    Args:
        folder: The benchmark's folder, with its shards.
        settings: The folder's.
        part: What is trained.
        start: The trained part that it starts from.
    """
    rows = read_clusters(folder, part.clustering)[part.cluster].shard_rows
    return TrainingTask(
        run_id=settings.dataset,
        seed=settings.seed,
        task_id=part.name,
        model=part.model(settings),
        training=TrainingConfig(
            steps=part.steps,
            batch_size=part.batch_size,
            learning_rate=_learning_rate(settings, part),
            weight_decay=0.01,
            ema_decay=0.999,
            time_sampling=part.times or settings.time_sampling,
            objective=Objective(kind=part.objective),
            snapshot_every=part.round_steps or 1000,
            **LEARNING,
        ),
        text=settings.text,
        codec=CodecConfig(),
        shard_rows=rows,
        initial_weights=_initial_weights(folder, start),
    )


def _learning_rate(settings: SmallSettings, part: Part) -> float:
    """The monolith's, less for a smaller batch, as the settings say."""
    share = part.batch_size / settings.batch_size
    return part.rate * settings.learning_rate * share**settings.rate_exponent


def _initial_weights(folder: Path, start: Part | None) -> InitialWeights | None:
    """Among the run's parts, the weights that it starts from; written again by each such part, with the same bytes."""
    if start is None:
        return None
    return write_initial_weights(folder / "data", load_part(folder, start), f"start.{start.name}.safetensors")
