"""Initial weights of all experts, if run.toml replaces the random ones: an ImageNet DiT, or the warm start.

<run>/data/initial_weights.safetensors    the weights; published with the data
<run>/data/initial_weights.json           their bytes, sha256 and origin; written last

Only the functions that write weights import torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from paris.coordinator.errors import NotReadyError, RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.coordinator.run.prepared_data import load_manifests, model_config, text_settings
from paris.experts.files import write_whole
from paris.protocol.run_records import SharedFile

if TYPE_CHECKING:
    from paris.experts.models.model import DiTExpert

_IMAGENET, _WARM_START = "imagenet", "warm-start"
CHANGES_NO_WEIGHTS = ("snapshot_every", "micro_batch_size")
"""Fields of [training]."""


@dataclass(frozen=True)
class StoredInitialWeights:
    """Initial weights in a run's data folder, as `initial_weights.json` describes them."""

    weights: SharedFile
    kind: str = _IMAGENET
    made_of: dict[str, Any] = field(default_factory=dict)
    """Warm start only: the settings and data that determine the weights (`warm_start_settings`)."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Warm start only: steps, batch size, final loss, seconds."""


def read_initial_weights(run: RunDir) -> StoredInitialWeights | None:
    """The stored initial weights; None if there are none or the file has another size. Does not hash the file.

    Raises:
        RunDirError: Their record is damaged.
    """
    if not run.initial_weights.is_file():
        return None
    remedy = f"Remove it and run: paris-coord prepare {run.path}, or warm-start if run.toml has a warm start."
    record = read_object(run.initial_weights, remedy)
    try:
        weights = SharedFile.model_validate({name: record.pop(name) for name in SharedFile.model_fields})
        stored = StoredInitialWeights(weights, **record)
    except (KeyError, TypeError, ValidationError) as error:
        raise RunDirError(f"{run.initial_weights} is damaged: it is no record of initial weights.", remedy) from error
    path = run.data / weights.path
    return stored if path.is_file() and path.stat().st_size == weights.bytes else None


def initial_weights(run: RunDir) -> SharedFile | None:
    """The file that all experts start from; None if they start from random weights by the run's seed.

    Raises:
        NotReadyError: run.toml requests initial weights that do not exist yet.
    """
    model = run.config.model
    if model.warm_start_steps is None and model.imagenet_weights is None:
        return None
    kind, command = (_IMAGENET, "prepare") if model.warm_start_steps is None else (_WARM_START, "warm-start")
    stored = read_initial_weights(run)
    if stored is None or stored.kind != kind:
        raise NotReadyError("The initial weights are not made yet.", f"Run: paris-coord {command} {run.path}")
    return stored.weights


def require_current_warm_start(run: RunDir) -> None:
    """Check, before tasks open, that the warm start comes from the run's present settings and data.

    Raises:
        NotReadyError: It does not, or run.toml requests a warm start and there is none.
    """
    if run.config.model.warm_start_steps is None or initial_weights(run) is None:
        return
    stored, expected = read_initial_weights(run), warm_start_settings(run)
    made_of = stored.made_of if stored else {}
    changed = [name for name, value in expected.items() if made_of.get(name) != value]
    if changed:
        raise NotReadyError(
            f"The warm start was trained with other {' and '.join(changed)}.",
            f"Run: paris-coord warm-start {run.path}",
        )


def warm_start_settings(run: RunDir) -> dict[str, Any]:
    """All settings and data that determine the weights of a warm start.

    The fields are those written in run.toml, without defaults: a version that adds a default does not invalidate the
    weights.

    Raises:
        RunDirError: The data is not prepared.
        NotReadyError: A cluster has no manifest.
    """
    config = run.config
    training = {name: value for name, value in config.expert_training.items() if name not in CHANGES_NO_WEIGHTS}
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


def save_initial_weights(run: RunDir, expert: DiTExpert, kind: str, **origin: Any) -> StoredInitialWeights:
    """Write initial weights and their record into the data folder.

    Args:
        run: A prepared run directory.
        expert: The weights, float32.
        kind: "imagenet" or "warm-start".
        origin: `made_of` and `facts` of `StoredInitialWeights`.

    Raises:
        DiskFullError: No space; earlier initial weights are left unchanged.
    """
    from paris.experts.models.initial_weights import write_initial_weights

    weights = SharedFile.model_validate(write_initial_weights(run.data, expert).to_settings())
    record = {**weights.model_dump(mode="json"), "kind": kind, **origin}
    write_whole(run.initial_weights, json.dumps(record, indent=1).encode())
    return StoredInitialWeights(weights, kind, **origin)


def convert_initial_weights(run: RunDir, checkpoint: Path) -> SharedFile:
    """Convert a DiT that was trained on ImageNet to initial weights of the run's experts.

    Args:
        run: A prepared run directory.
        checkpoint: A safetensors file with the tensor names of DiT or of diffusers.

    Raises:
        CheckpointError: The file is missing, or is not a DiT of the run's shape; earlier initial weights are left
            unchanged.
        DiskFullError: No space for the converted weights.
    """
    from paris.experts.models.imagenet import from_imagenet_dit

    expert = from_imagenet_dit(checkpoint, model_config(run), run.config.run.seed)
    return save_initial_weights(run, expert, _IMAGENET).weights
