"""What the files of a source are: one policy for folders, tars and repos of a Hub.

Files of a source are rows, texts of rows, or counted as dropped.
"""

from __future__ import annotations

import posixpath

from paris.coordinator.prepare.compute.picture_formats import endings
from paris.coordinator.prepare.rows.drops import Dropped

HIDDEN = "hidden or system file"
NOT_A_PICTURE = "not a picture"
BAD_NAME = "file name is not UTF-8"
BAD_TEXT = "unreadable caption or metadata"
NOT_A_TAR = "not a tar"
NOT_A_TABLE = "not a Parquet file"
OTHER_SPLIT = "of another split"
OF_A_RUN = "folder of a run or a demo"
BAD = frozenset({BAD_NAME, BAD_TEXT})
"""Reasons that `max_bad_share` bounds."""
NOT_ROWS = frozenset({HIDDEN, NOT_A_PICTURE, NOT_A_TAR, NOT_A_TABLE, OTHER_SPLIT, OF_A_RUN})
"""Reasons of files that no row was expected from."""
SIDECARS = (".json", ".caption", ".txt")
"""Endings of the texts beside pictures, the strongest first."""
MAX_TEXT_BYTES = 2**20
_SYSTEM_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
_NEVER_PICTURES = {
    *(
        ".md",
        ".html",
        ".xml",
        ".yaml",
        ".yml",
        ".toml",
        ".csv",
        ".tsv",
        ".jsonl",
        ".parquet",
        ".arrow",
        ".py",
        ".ipynb",
    ),
    *(".tar", ".zip", ".gz", ".xz", ".zst", ".7z", ".npy", ".npz", ".pt", ".safetensors", ".cls", ".idx"),
    *(".mp4", ".mov", ".webm", ".mkv", ".mp3", ".wav", ".flac", ".pdf", ".svg"),
}


def excluded(path: str) -> Dropped | None:
    """A file that is no part of any data, as dropped: hidden, left by a system, or with a name that is not UTF-8.

    Args:
        path: Relative to the source, with slashes.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return Dropped(path, BAD_NAME)
    *folders, name = path.split("/")
    is_hidden = any(part.startswith(".") and part not in (".", "..") for part in (*folders, name))
    if is_hidden or not _SYSTEM_FOLDERS.isdisjoint(map(str.lower, folders)) or name.lower() in _SYSTEM_FILES:
        return Dropped(path, HIDDEN)
    return None


def ending(path: str) -> str:
    """The ending of a file's name, in lower case: ".png"."""
    return posixpath.splitext(path)[1].lower()


def has_picture_ending(path: str) -> bool:
    """Whether Pillow reads files of this ending."""
    return ending(path) in endings()


def may_be_picture(path: str) -> bool:
    """Whether a file of another ending is worth a look at its first bytes: `x`, `x.jpg_large`, `x.heic`."""
    return ending(path) not in _NEVER_PICTURES and ending(path) not in SIDECARS
