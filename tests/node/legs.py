"""Units of legs with snapshots on disk: small files in place of tensors, the chain of commitments as in training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from units import make_unit

from paris.experts.training.commitments import FILES, NO_COMMITMENT, SnapshotState, commitment_of, scheduled_folder
from paris.node.machine.unit import Unit, UnitFolder
from paris.protocol.hub_layout import state_folder
from paris.protocol.run_records import Head, SubmittedFile

TASK = "d" * 64


def contents(step: int) -> dict[str, bytes]:
    """The files of the snapshot at a step."""
    return {name: f"{name} at {step}".encode() * 40 for name in FILES}


def write_snapshots(folder: UnitFolder, *steps: int, previous: str = NO_COMMITMENT) -> list[SnapshotState]:
    """Scheduled snapshots that follow from each other."""
    states = []
    for step in steps:
        place = scheduled_folder(folder.snapshots, step)
        place.mkdir(parents=True)
        files = {name: hashlib.sha256(data).hexdigest() for name, data in contents(step).items()}
        for name, data in contents(step).items():
            (place / f"{name}.safetensors").write_bytes(data)
        commitment = commitment_of(previous, TASK, step, files)
        state = SnapshotState(
            task=TASK,
            step=step,
            loss=1 / step,
            files=files,
            previous=previous,
            commitment=commitment,
            commitment_step=step,
        )
        (place / "state.json").write_text(json.dumps(state.to_settings()), "utf-8")
        states.append(state)
        previous = commitment
    return states


def make_head(state: SnapshotState, task_id: str = "expert-0") -> Head:
    """The head that the coordinator makes of a snapshot."""
    place = state_folder(task_id, state.step)
    files = tuple(
        SubmittedFile(path=f"{place}/{name}.safetensors", sha256=state.files[name], bytes=len(data))
        for name, data in contents(state.step).items()
    )
    fields = {"step": state.step, "loss": state.loss, "previous": state.previous, "commitment": state.commitment}
    return Head(**fields, commit="1" * 40, files=files)


def make_leg(path: Path, start_step: int, to_step: int, head: Head | None = None, **fields) -> tuple[UnitFolder, Unit]:
    """A unit of a leg of a task of 40 steps, saved."""
    unit = make_unit(state="training", **fields)
    task = unit.task.model_copy(update={"head": head, "steps": 40})
    lease = unit.lease.model_copy(update={"start_step": start_step, "to_step": to_step, "draw_sha256": "e" * 64})
    folder = UnitFolder(path)
    return folder, folder.save(unit.model_copy(update={"task": task, "lease": lease}))
