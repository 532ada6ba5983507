"""The file that all experts of a run start from, where it is not the run's seed: converted, or by `warm_start.py`.

<run>/data/initial_weights.safetensors    the weights; they travel with the run's data
<run>/data/initial_weights.json           their size and sha256, and what they were made of; written last

Nothing here imports torch, but for what writes weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.errors import NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests, model_config, text_settings
from paris.experts.files import write_whole
from paris.protocol.records import PartFile

if TYPE_CHECKING:
    from paris.experts.models.model import DiTExpert

_IMAGENET, _WARM = "imagenet", "warm-start"
_CHANGES_NO_WEIGHTS = ("snapshot_every", "micro_batch_size")


@dataclass(frozen=True)
class Start:
    """Initial weights that stand among a run's data."""

    weights: PartFile
    kind: str = _IMAGENET
    made_of: dict[str, Any] = field(default_factory=dict)
    """Of a warm start: the settings and shards that decide its weights."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else is told of it."""


def standing_start(run: RunDir) -> Start | None:
    """The initial weights that are there, whole as far as their size says; None where there are none."""
    if not run.initial_weights.is_file():
        return None
    record = json.loads(run.initial_weights.read_bytes())
    weights = PartFile.model_validate({name: record.pop(name) for name in PartFile.model_fields})
    path = run.data / weights.path
    return Start(weights, **record) if path.is_file() and path.stat().st_size == weights.bytes else None


def initial_weights(run: RunDir) -> PartFile | None:
    """The file that all experts start from; None where the run starts from its seed.

    Raises:
        NotReadyError: run.toml asks for such weights, and they are not made yet.
    """
    model = run.config.model
    if model.warm_start_steps is None and model.imagenet_weights is None:
        return None
    kind, command = (_IMAGENET, "prepare") if model.warm_start_steps is None else (_WARM, "warm-start")
    start = standing_start(run)
    if start is None or start.kind != kind:
        raise NotReadyError("The initial weights are not made yet.", f"Run: paris-coord {command} {run.path}")
    return start.weights


def require_present_start(run: RunDir) -> None:
    """Refuse a warm start that was made of other data or settings than the run has now; asked before tasks open.

    Raises:
        NotReadyError: It was, or there is none though run.toml asks for one.
    """
    if run.config.model.warm_start_steps is None or initial_weights(run) is None:
        return
    start, wanted = standing_start(run), warm_start_settings(run)
    made_of = start.made_of if start else {}
    changed = [name for name, value in wanted.items() if made_of.get(name) != value]
    if changed:
        raise NotReadyError(
            f"The model that all experts start from was trained with other {' and '.join(changed)}.",
            f"Run: paris-coord warm-start {run.path}",
        )


def warm_start_settings(run: RunDir) -> dict[str, Any]:
    """All of run.toml and of the data that decides the weights of a warm start, as it is written there.

    As written, not as it is filled up: a later version with one default more is not another training.

    Raises:
        RunDirError: The data is not prepared yet.
        NotReadyError: A cluster has no manifest.
    """
    config = run.config
    training = {name: value for name, value in config.expert_training.items() if name not in _CHANGES_NO_WEIGHTS}
    return {
        "steps": config.model.warm_start_steps,
        "experts": config.run.num_experts,
        "seed": config.run.seed,
        "model": {"preset": config.model.preset, "overrides": config.model.overrides},
        "training": training,
        "text": text_settings(run),
        "codec": config.codec,
        "data": [manifest.sha256 for manifest in load_manifests(run)],
    }


def keep_initial_weights(run: RunDir, expert: DiTExpert, kind: str, **told: Any) -> Start:
    """Put weights where all experts start from them.

    Args:
        run: A prepared run directory.
        expert: The weights, in float32.
        kind: "imagenet" or "warm-start".
        told: `made_of` and `facts` of `Start`.

    Raises:
        DiskFullError: No space; earlier initial weights are as they were.
    """
    from paris.experts.models.initial_weights import write_initial_weights

    weights = PartFile.model_validate(write_initial_weights(run.data, expert).to_settings())
    record = {**weights.model_dump(mode="json"), "kind": kind, **told}
    write_whole(run.initial_weights, json.dumps(record, indent=1).encode())
    return Start(weights, kind, **told)


def convert_initial_weights(run: RunDir, checkpoint: Path) -> PartFile:
    """Make what all experts start from out of a DiT that was trained on ImageNet.

    Args:
        run: A prepared run directory.
        checkpoint: A safetensors file with DiT's own names, or those of diffusers.

    Raises:
        CheckpointError: The file is missing, or no DiT of the run's shape; earlier initial weights are as they were.
        DiskFullError: No space for the converted weights.
    """
    from paris.experts.models.imagenet import from_imagenet_dit

    expert = from_imagenet_dit(checkpoint, model_config(run), run.config.run.seed)
    return keep_initial_weights(run, expert, _IMAGENET).weights
