"""The body of a commit: parsing its lines, and applying its operations to a listing of files."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from paris.coordinator.hub.errors import Refusal, bad_request
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.names import check_path
from paris.coordinator.hub.storage.trees import FileEntry


class Header(BaseModel):
    """First line: title, description and expected parent of the commit."""

    summary: str = Field(min_length=1, max_length=2000)
    description: str = Field(default="", max_length=100_000)
    parentCommit: str | None = Field(default=None, pattern=r"^[0-9a-f]{5,40}$")


class SmallFile(BaseModel):
    """A file whose bytes are in the line."""

    path: str
    content: str
    encoding: Literal["base64"] = "base64"

    def data(self, max_bytes: int) -> bytes:
        """The file's bytes.

        Raises:
            Refusal: 400, not base64; 413, too large.
        """
        try:
            data = base64.b64decode(self.content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_request(f"The content of {self.path!r} is not base64.") from error
        if len(data) > max_bytes:
            raise Refusal(413, f"{self.path!r} has {len(data)} bytes; upload files over {max_bytes} bytes by LFS.")
        return data


class LfsFile(BaseModel):
    """A file that was uploaded before, or a copy from another revision, which has no size."""

    path: str
    algo: Literal["sha256"] = "sha256"
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int | None = None


class Deletion(BaseModel):
    """A file or folder to delete."""

    path: str


class _HeaderLine(BaseModel):
    key: Literal["header"]
    value: Header


class _FileLine(BaseModel):
    key: Literal["file"]
    value: SmallFile


class _LfsLine(BaseModel):
    key: Literal["lfsFile"]
    value: LfsFile


class _DeletedFileLine(BaseModel):
    key: Literal["deletedFile"]
    value: Deletion


class _DeletedFolderLine(BaseModel):
    key: Literal["deletedFolder"]
    value: Deletion


Operation = _FileLine | _LfsLine | _DeletedFileLine | _DeletedFolderLine
_LINE: TypeAdapter[_HeaderLine | Operation] = TypeAdapter(
    Annotated[_HeaderLine | Operation, Field(discriminator="key")],
)


def parse_commit(body: bytes, limits: HubLimits) -> tuple[Header, list[Operation]]:
    """Header and operations of a commit's body (ndjson), with checked paths.

    Raises:
        Refusal: 400, naming the line; 413, too many operations.
    """
    header: Header | None = None
    operations: list[Operation] = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            parsed = _LINE.validate_json(line)
        except ValidationError as error:
            raise bad_request(f"Line {number} of the commit: {error.errors()[0]['msg']}.") from error
        if isinstance(parsed, _HeaderLine):
            header = parsed.value
            continue
        if len(operations) >= limits.max_commit_operations:
            raise Refusal(413, f"A commit may have at most {limits.max_commit_operations} operations.")
        check_path(_path(parsed))
        operations.append(parsed)
    if header is None:
        raise bad_request("The commit has no header line.")
    return header, operations


def _path(operation: Operation) -> str:
    # The client adds a slash to the path of a deleted folder.
    return operation.value.path.rstrip("/") if operation.key == "deletedFolder" else operation.value.path


def apply_operations(
    files: dict[str, FileEntry], operations: list[Operation], added: dict[int, FileEntry], limits: HubLimits
) -> dict[str, FileEntry]:
    """The files after the operations, applied in order.

    Args:
        files: The files before; not changed.
        operations: The operations.
        added: Entry of each operation that adds a file, by its index.
        limits: The bound on the files of a repository.

    Raises:
        Refusal: 404 EntryNotFound, nothing to delete; 413, too many files.
    """
    after = dict(files)
    for index, operation in enumerate(operations):
        path = _path(operation)
        if index in added:
            after[path] = added[index]
            continue
        gone = [path] if operation.key == "deletedFile" else [name for name in after if name.startswith(path + "/")]
        if not gone or gone[0] not in after:
            raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in gone:
            del after[name]
    if len(after) > limits.max_repo_files:
        raise Refusal(413, f"A repository may have at most {limits.max_repo_files} files.")
    return after
