"""Differences between two revisions, in git's format; bounded, since anybody may hand in the files."""

from __future__ import annotations

import difflib

from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.trees import FileEntry, lfs_pointer

_MAX_DIFFED_BYTES = 32 * 1024
_MAX_DIFFED_LINES = 2000
"""On each side: chosen lines make the comparison take a time that grows faster than their number."""
_MAX_DIFF_CHARS = 512 * 1024
Files = dict[str, FileEntry]


def changed_paths(before: Files, after: Files) -> set[str]:
    """Paths whose file differs, or is in one of the two revisions alone."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def git_diff(blobs: BlobStore, base: Files, head: Files) -> str:
    """The changes in git's format: LFS objects as pointers, large files by name only."""
    pieces: list[str] = []
    length = 0
    for path in sorted(changed_paths(base, head)):
        before, after = base.get(path), head.get(path)
        pieces.append(_file_diff(path, _text(blobs, before), _text(blobs, after), before is None, after is None))
        length += len(pieces[-1])
        if length > _MAX_DIFF_CHARS:
            break
    return "".join(pieces)[:_MAX_DIFF_CHARS]


def text_changes(blobs: BlobStore, before: FileEntry | None, after: FileEntry | None) -> list[str] | None:
    """The unified diff of one file.

    Args:
        blobs: Has the contents.
        before: None: the file is new.
        after: None: the file is deleted.

    Returns:
        Lines from the first `@@` on; None where a side is stored as an LFS object, is large, or is no text.
    """
    if (before and before.is_lfs) or (after and after.is_lfs):
        return None
    old, new = _text(blobs, before), _text(blobs, after)
    if old is None or new is None:
        return None
    return [line.rstrip("\n") for line in list(difflib.unified_diff(old, new))[2:]]


def _text(blobs: BlobStore, entry: FileEntry | None) -> list[str] | None:
    """A file's lines for the diff; None if it is not text or too large to compare."""
    if entry is None:
        return []
    if entry.is_lfs:
        return lfs_pointer(entry.sha256, entry.size).decode().splitlines(keepends=True)
    if entry.size > _MAX_DIFFED_BYTES:
        return None
    try:
        lines = blobs.read(entry.sha256).decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= _MAX_DIFFED_LINES else None


def _file_diff(path: str, before: list[str] | None, after: list[str] | None, is_new: bool, is_gone: bool) -> str:
    head = f"diff --git a/{path} b/{path}\n"
    head += "new file mode 100644\n" if is_new else "deleted file mode 100644\n" if is_gone else ""
    old, new = "/dev/null" if is_new else f"a/{path}", "/dev/null" if is_gone else f"b/{path}"
    if before is None or after is None:
        return f"{head}Binary files {old} and {new} differ\n"
    lines = [line if line.endswith("\n") else line + "\n" for line in difflib.unified_diff(before, after, old, new)]
    return head + "".join(lines)
