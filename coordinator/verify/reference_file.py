"""The organiser's reference on disk: one curve for each cluster that it trained.

<run>/data/reference.json    {"format": 1, "curves": [{"made_of": ..., "curve": ReferenceCurve}, ...]}, mode 0600: the
                             losses tell about the secret rows
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import CHANGES_NO_WEIGHTS, initial_weights
from paris.coordinator.run.json_files import read_object
from paris.coordinator.run.prepared_data import load_manifests, text_settings
from paris.coordinator.verify.curves import ReferenceCurve
from paris.experts.files import write_whole
from paris.protocol.errors import NewerFileError
from paris.protocol.fields import Sha256
from paris.protocol.version import UPGRADE

_FORMAT: Literal[1] = 1


class StoredCurve(BaseModel):
    """A curve, and the settings and data that it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    made_of: Sha256
    """As `made_of`."""
    curve: ReferenceCurve


class _ReferenceFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Annotated[int, Field(ge=1)] = _FORMAT
    curves: tuple[StoredCurve, ...] = ()


def made_of(run: RunDir, cluster: int) -> str:
    """Digest of all settings and data that decide the weights of a cluster's expert.

    Raises:
        RunDirError: The data is not prepared.
        NotReadyError: A manifest or the initial weights are missing.
    """
    config, start = run.config, initial_weights(run)
    settings = {
        "steps": config.tasks.steps,
        "seed": config.run.seed,
        "model": {"preset": config.model.preset, "overrides": config.model.overrides},
        "training": {name: value for name, value in config.expert_training.items() if name not in CHANGES_NO_WEIGHTS},
        "objective": config.objectives.for_cluster(cluster),
        "text": text_settings(run),
        "codec": config.codec,
        "data": load_manifests(run)[cluster].sha256,
        "start": start.sha256 if start else None,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_reference(run: RunDir) -> dict[int, StoredCurve]:
    """The stored curves by cluster; empty without a reference.

    Raises:
        RunDirError: The file is damaged.
        NewerFileError: A newer version wrote it.
    """
    if not run.reference.is_file():
        return {}
    remedy = f"Remove it and run: paris-coord reference {run.path}"
    record = read_object(run.reference, remedy)
    if isinstance(record.get("format"), int) and record["format"] > _FORMAT:
        raise NewerFileError(
            f"{run.reference} was written by a newer version of this software (format {record['format']}).",
            f"{UPGRADE} The file is unchanged.",
        )
    try:
        stored = _ReferenceFile.model_validate_json(json.dumps(record))
    except ValidationError as error:
        raise RunDirError(f"{run.reference} is damaged: it is no reference.", remedy) from error
    return {one.curve.cluster: one for one in stored.curves}


def save_curve(run: RunDir, stored: StoredCurve) -> None:
    """Put a curve into the file, in place of an earlier one of its cluster.

    Raises:
        RunDirError: The present file is damaged; it is unchanged.
        DiskFullError: No space; the present file is unchanged.
    """
    curves = {**read_reference(run), stored.curve.cluster: stored}
    content = _ReferenceFile(curves=tuple(curves[cluster] for cluster in sorted(curves)))
    write_whole(run.reference, content.model_dump_json().encode(), mode=0o600)
