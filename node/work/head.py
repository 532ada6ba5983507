"""The head of a leg: the state that the leg before it reached, as files for the trainer.

    work/arriving/<sha256>.part      a partial download; kept over restarts
    work/head/<name>.safetensors     the three files, each verified, until the trainer takes them over as a snapshot

A volunteer that trained the leg before has the files already: they are linked, not fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from paris.experts.files import file_sha256, link_or_copy
from paris.experts.training.commitments import scheduled_folder, scheduled_folders, step_of
from paris.node.errors import disk_full_while
from paris.node.fetching.download import Downloader
from paris.node.hub.file import Wanted
from paris.node.machine.unit import Unit, UnitFolder
from paris.protocol.errors import RecordError
from paris.protocol.hub_layout import STATE_FILES
from paris.protocol.run_records import Head, SubmittedFile, Task
from paris.protocol.work_records import Lease


def has_start(task: Task, lease: Lease) -> bool:
    """Whether a task's record names the state that a lease starts from; an older record does not yet."""
    is_older = task.attempt < lease.attempt
    return not lease.start_step or (not is_older and task.head is not None and task.head.step == lease.start_step)


def head_of(unit: Unit) -> Head | None:
    """The state that a unit starts from; None: the initial weights.

    Raises:
        RecordError: Its files are not those of a state.
    """
    head = unit.task.head if unit.start_step else None
    if head is not None and {_name(file) for file in head.files} != set(STATE_FILES):
        raise RecordError(
            f"The head of {unit.task.task_id} names {', '.join(file.path for file in head.files)}, not the files "
            f"{', '.join(STATE_FILES)}.",
            "Tell the organiser.",
        )
    return head


def fetch_head(
    unit: Unit,
    folder: UnitFolder,
    repo: str,
    downloader: Downloader,
    ended: Iterable[UnitFolder],
    on_piece: Callable[[], None],
) -> int:
    """Put the files that a unit starts from where its trainer looks for them; nothing once it has taken them over.

    Args:
        unit: With its task's head.
        folder: Receives the files.
        repo: The model repo.
        downloader: Its cache is for the files of this head alone.
        ended: Folders of the volunteer's units that ended, which may have the same files.
        on_piece: Called after each piece; may raise to end the download.

    Returns:
        Bytes that came from the Hub.

    Raises:
        RecordError: As `head_of`.
        WrongHashError, HubRefusedError, HubUnreachableError, DiskFullError: As `Downloader.fetch`.
    """
    head = head_of(unit)
    if head is None or any(step_of(path) >= head.step for path in scheduled_folders(folder.snapshots)):
        return 0
    before = downloader.bytes_from_hub
    kept = [scheduled_folder(other.snapshots, head.step) for other in ended]
    for file in head.files:
        target = folder.head / _name(file)
        if _is_same(target, file) or _take_kept([place / target.name for place in kept], target, file):
            continue
        wanted = Wanted(repo, head.commit, file.path, file.sha256, file.bytes, "model")
        path = downloader.fetch(wanted, on_piece)
        with disk_full_while(f"saving {target.name}", folder.path):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    return downloader.bytes_from_hub - before


def _take_kept(kept: list[Path], target: Path, file: SubmittedFile) -> bool:
    source = next((path for path in kept if _is_same(path, file)), None)
    if source is None:
        return False
    with disk_full_while(f"saving {target.name}", target.parent):
        link_or_copy(source, target)
    return True


def _is_same(path: Path, file: SubmittedFile) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and file_sha256(path) == file.sha256


def _name(file: SubmittedFile) -> str:
    return PurePosixPath(file.path).name
