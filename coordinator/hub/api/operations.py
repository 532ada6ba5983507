"""The body of a commit: parsing its lines, and what its operations change."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from paris.coordinator.hub.errors import Refusal, bad_request
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.names import check_path
from paris.coordinator.hub.storage.trees import FileEntry, TreeFiles, regular_entry

_MAX_LINE_HEAD_BYTES = 16 * 1024
"""Bytes of a line other than the content: JSON, and a path of at most 1,024 bytes with escapes."""


class Header(BaseModel):
    """First line: title, description and expected parent of the commit."""

    summary: str = Field(min_length=1, max_length=2000)
    description: str = Field(default="", max_length=100_000)
    parentCommit: str | None = Field(default=None, pattern=r"^[0-9a-f]{5,40}$")


class LfsFile(BaseModel):
    """A file that was uploaded before, or a copy from another revision, which has no size."""

    path: str
    algo: Literal["sha256"] = "sha256"
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int | None = None


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file whose bytes are in a line of the body."""

    path: str
    entry: FileEntry
    offset: int
    """Position of the line in the body."""
    num_bytes: int
    """Bytes of the line."""

    def read(self, body: BinaryIO) -> bytes:
        """The file's bytes."""
        body.seek(self.offset)
        return _FileLine.model_validate_json(body.read(self.num_bytes)).value.data()


@dataclass(frozen=True, slots=True)
class Deletion:
    """A file or folder to delete."""

    path: str
    is_folder: bool


class _Content(BaseModel):
    path: str
    content: str
    encoding: Literal["base64"] = "base64"

    def data(self) -> bytes:
        try:
            return base64.b64decode(self.content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_request(f"The content of {self.path!r} is not base64.") from error


class _Path(BaseModel):
    path: str


class _HeaderLine(BaseModel):
    key: Literal["header"]
    value: Header


class _FileLine(BaseModel):
    key: Literal["file"]
    value: _Content


class _LfsLine(BaseModel):
    key: Literal["lfsFile"]
    value: LfsFile


class _DeletionLine(BaseModel):
    key: Literal["deletedFile", "deletedFolder"]
    value: _Path


Operation = InlineFile | LfsFile | Deletion
_LINE: TypeAdapter[_HeaderLine | _FileLine | _LfsLine | _DeletionLine] = TypeAdapter(
    Annotated[_HeaderLine | _FileLine | _LfsLine | _DeletionLine, Field(discriminator="key")],
)


def parse_commit(body: BinaryIO, limits: HubLimits) -> tuple[Header, list[Operation]]:
    """Header and operations of a commit's body (ndjson), with checked paths. Holds one line at a time in memory.

    Raises:
        Refusal: 400, naming the line; 413, too many operations or a file too large.
    """
    header: Header | None = None
    operations: list[Operation] = []
    max_line_bytes = limits.max_regular_bytes * 4 // 3 + _MAX_LINE_HEAD_BYTES
    offset, number = 0, 0
    while line := body.readline(max_line_bytes + 1):
        number += 1
        if len(line) > max_line_bytes:
            what = (
                f"Line {number} of the commit is too long; upload files over {limits.max_regular_bytes} bytes by LFS."
            )
            raise Refusal(413, what)
        parsed = _parse_line(line, number)
        if isinstance(parsed, _HeaderLine):
            header = parsed.value
        elif parsed is not None:
            if len(operations) >= limits.max_commit_operations:
                raise Refusal(413, f"A commit may have at most {limits.max_commit_operations} operations.")
            operations.append(_operation(parsed, offset, len(line), limits.max_regular_bytes))
        offset += len(line)
    if header is None:
        raise bad_request("The commit has no header line.")
    return header, operations


def _parse_line(line: bytes, number: int) -> _HeaderLine | _FileLine | _LfsLine | _DeletionLine | None:
    """One line; None if it is blank."""
    if not line.strip():
        return None
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise bad_request(f"Line {number} of the commit: {error.errors()[0]['msg']}.") from error


def _operation(
    line: _FileLine | _LfsLine | _DeletionLine, offset: int, num_bytes: int, max_regular_bytes: int
) -> Operation:
    is_folder = line.key == "deletedFolder"
    # The client adds a slash to the path of a deleted folder.
    path = check_path(line.value.path.rstrip("/") if is_folder else line.value.path)
    if isinstance(line, _LfsLine):
        return line.value
    if isinstance(line, _DeletionLine):
        return Deletion(path, is_folder)
    data = line.value.data()
    if len(data) > max_regular_bytes:
        raise Refusal(413, f"{path!r} has {len(data)} bytes; upload files over {max_regular_bytes} bytes by LFS.")
    return InlineFile(path, regular_entry(data), offset, num_bytes)


def changes_of(
    files: TreeFiles, operations: list[Operation], added: dict[int, FileEntry], limits: HubLimits
) -> dict[str, FileEntry | None]:
    """What the operations, applied in order, change: the new entry of each path that differs, None for a deleted file.

    Args:
        files: The files before.
        operations: The operations.
        added: Entry of each operation that adds a file, by its index.
        limits: The bound on the files of a repository.

    Raises:
        Refusal: 404 EntryNotFound, nothing to delete; 413, too many files.
    """
    changes: dict[str, FileEntry | None] = {}
    for index, operation in enumerate(operations):
        if isinstance(operation, Deletion):
            changes.update(dict.fromkeys(_gone(files, changes, operation)))
        else:
            changes[operation.path] = added[index]
    before = {path: files.find(path) for path in changes}
    num_more = sum((changes[path] is not None) - (before[path] is not None) for path in changes)
    if num_more > 0 and files.count() + num_more > limits.max_repo_files:
        raise Refusal(413, f"A repository may have at most {limits.max_repo_files} files.")
    return {path: entry for path, entry in changes.items() if entry != before[path]}


def _gone(files: TreeFiles, changes: Mapping[str, FileEntry | None], deletion: Deletion) -> list[str]:
    """The files that a deletion removes, after earlier changes of the same commit."""
    path = deletion.path
    if deletion.is_folder:
        known = {*files.below(path), *(name for name in changes if name.startswith(path + "/"))}
        gone = [name for name in known if name not in changes or changes[name] is not None]
    else:
        is_there = changes[path] is not None if path in changes else files.find(path) is not None
        gone = [path] if is_there else []
    if not gone:
        raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    return gone
