"""What is handed in: the finished expert, or the newest scheduled snapshot of a leg with the chain that leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paris.experts.errors import CheckpointError
from paris.experts.files import file_sha256, write_whole
from paris.experts.training.commitments import (
    FILES,
    NO_COMMITMENT,
    SnapshotState,
    read_state,
    scheduled_folder,
    scheduled_folders,
    step_of,
)
from paris.node.errors import NothingToHandInError, TrainerError, disk_full_while
from paris.node.machine.unit import Finished, FinishedFile, Unit, UnitFolder
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles
from paris.protocol.hub_layout import CHAIN_FILE, WEIGHTS_FILE


def finished_expert(end: dict[str, Any]) -> Finished:
    """A whole expert, trained under one lease.

    Args:
        end: The trainer's FINISHED event.
    """
    weights = FinishedFile(name=WEIGHTS_FILE, path=f"work/{WEIGHTS_FILE}", sha256=end["sha256"], bytes=end["bytes"])
    return Finished(steps=end["steps"], final_loss=end["final_loss"], commitment=end["commitment"], files=(weights,))


def finished_leg(unit: Unit, folder: UnitFolder) -> Finished:
    """A leg up to its newest scheduled snapshot, whether it is at the leg's end or before; writes chain.json.

    Args:
        unit: Of a leg.
        folder: Has the snapshots.

    Raises:
        NothingToHandInError: No whole snapshot is beyond the leg's start.
        DiskFullError: No room for chain.json.
    """
    states = _chain_to_newest(unit, folder)
    if not states:
        raise NothingToHandInError(
            f"{unit.task.task_id} has no snapshot after step {unit.start_step}, where its leg starts.",
            "paris-node join goes on with it; paris-node leave gives it back.",
        )
    last, data = states[-1], _chain(unit, states).to_bytes()
    with disk_full_while(f"saving {CHAIN_FILE}", folder.path):
        write_whole(folder.path / CHAIN_FILE, data)
    source = scheduled_folder(folder.snapshots, last.step)
    # The last leg's weights and moments are nobody's start.
    names = FILES if last.step < unit.task.steps else ("ema",)
    files = [
        _file(folder, WEIGHTS_FILE if name == "ema" else f"{name}.safetensors", source / f"{name}.safetensors")
        for name in names
    ]
    files.append(_file(folder, CHAIN_FILE, folder.path / CHAIN_FILE))
    return Finished(steps=last.step, final_loss=last.loss or 0.0, commitment=last.commitment, files=tuple(files))


def trained_leg(unit: Unit, folder: UnitFolder) -> Finished:
    """A leg whose trainer has finished; as `finished_leg`.

    Raises:
        TrainerError: The disk has spoilt every snapshot. The trainer would only find its end again: the task is given
            back.
        DiskFullError: No room for chain.json.
    """
    try:
        return finished_leg(unit, folder)
    except NothingToHandInError as error:
        raise TrainerError(
            f"{unit.task.task_id} is trained, but no snapshot after step {unit.start_step} is whole any more.",
            "Check the disk of this machine before you join again.",
        ) from error


def _chain_to_newest(unit: Unit, folder: UnitFolder) -> list[SnapshotState]:
    """The leg's snapshots up to the newest whose files are whole, each following from the one before."""
    states: list[SnapshotState] = []
    commitment = unit.task.head.commitment if unit.task.head and unit.start_step else NO_COMMITMENT
    for path in scheduled_folders(folder.snapshots):
        if step_of(path) <= unit.start_step:
            continue
        try:
            state = read_state(path)
        except (CheckpointError, OSError):
            break
        if state.previous != commitment:
            break
        states.append(state)
        commitment = state.commitment
    while states and not _is_whole(scheduled_folder(folder.snapshots, states[-1].step), states[-1]):
        states.pop()
    return states


def _is_whole(path: Path, state: SnapshotState) -> bool:
    files = {name: path / f"{name}.safetensors" for name in FILES}
    return all(file.is_file() and file_sha256(file) == state.files[name] for name, file in files.items())


def _chain(unit: Unit, states: list[SnapshotState]) -> Chain:
    links = [
        Link(
            step=state.step, files=LinkFiles(**{name: state.files[name] for name in FILES}), commitment=state.commitment
        )
        for state in states
    ]
    start = ChainStart(step=unit.start_step, commitment=states[0].previous)
    return Chain(task=states[0].task, start=start, links=tuple(links))


def _file(folder: UnitFolder, name: str, path: Path) -> FinishedFile:
    return FinishedFile(
        name=name,
        path=path.relative_to(folder.path).as_posix(),
        sha256=file_sha256(path),
        bytes=path.stat().st_size,
    )
