"""Files that all experts of a run share: text encoder and initial weights, from the data repo, at the pinned revision.

    runs/<run_id>/text/<path>        as the RunSpec names it, ready for `load_text_encoder`

Only data is fetched: JSON, plain vocabularies and safetensors; nothing that a loader would execute or unpickle.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from paris.experts.files import copy_whole, file_sha256, write_whole
from paris.node.errors import HubRefusedError, WrongHashError, disk_full_while
from paris.node.fetching.download import Downloader
from paris.node.hub.client import translated
from paris.node.hub.file import Wanted
from paris.protocol.run_records import RunSpec

_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
_SUFFIXES = (".json", ".txt", ".model", ".safetensors")
_MAX_SMALL_BYTES = 64 * 2**20
_WEIGHTS = "model.safetensors"


def fetch_shared_files(downloader: Downloader, spec: RunSpec, revision: str, folder: Path) -> None:
    """Fetch what is missing. Safe to repeat.

    Args:
        downloader: For the run's Hub.
        spec: Names the data repo, the text encoder and the initial weights.
        revision: Commit of the data repo that the manifest pins.
        folder: Receives the files under their own names.

    Raises:
        WrongHashError: A file has other content than the signed settings, or the pinned tree, name.
        HubRefusedError, TransientHubError, DiskFullError: As the requests go.
    """
    repo = _Repo(downloader, spec.data_repo, revision, folder)
    if spec.initial_weights is not None:
        weights = spec.initial_weights
        repo.fetch_large(_safe(weights.path), weights.sha256, weights.bytes)
    text = spec.text
    if text.get("kind") == "none":
        return
    signed = str(text.get("sha256", ""))
    if text.get("kind") == "vocabulary":
        repo.fetch_small(_safe(str(text.get("path", "vocab.json"))), sha256=signed)
        return
    folders = {str(text.get("path", "")), str(text.get("tokenizer_path", "") or text.get("path", ""))}
    for path in sorted(folders):
        for entry in repo.list(_safe(path)):
            repo.fetch_entry(entry, signed if PurePosixPath(entry.path).name == _WEIGHTS else "")


@dataclass(frozen=True)
class _Repo:
    """The data repo at one commit, and the folder that its files go to."""

    downloader: Downloader
    name: str
    revision: str
    folder: Path

    def list(self, path: str) -> list[Any]:
        with translated(f"listing {path} of {self.name}"):
            entries = self.downloader.hub.api.list_repo_tree(
                self.name, path, repo_type="dataset", revision=self.revision
            )
            return [entry for entry in entries if hasattr(entry, "size") and entry.path.endswith(_SUFFIXES)]

    def fetch_entry(self, entry: Any, sha256: str) -> None:
        """Fetch a file of the tree.

        Args:
            entry: From `list`.
            sha256: Signed for the file; empty: the tree's own ids count.
        """
        path = _safe(str(entry.path))
        if entry.lfs is None:
            self.fetch_small(path, sha256=sha256, blob_id=str(entry.blob_id))
            return
        if sha256 and str(entry.lfs.sha256) != sha256:
            raise self._wrong_hash(path)
        self.fetch_large(path, str(entry.lfs.sha256), int(entry.size))

    def fetch_large(self, path: str, sha256: str, num_bytes: int) -> None:
        target = self.folder / path
        if target.exists() and target.stat().st_size == num_bytes and file_sha256(target) == sha256:
            return
        cached = self.downloader.fetch(Wanted(self.name, self.revision, path, sha256, num_bytes))
        with disk_full_while(f"saving {path}", target.parent):
            copy_whole(cached, target)

    def fetch_small(self, path: str, *, sha256: str, blob_id: str = "") -> None:
        target, hub = self.folder / path, self.downloader.hub
        if target.exists() and _has_hash(target.read_bytes(), sha256, blob_id):
            return
        url = hub.url(self.name, path, repo_type="dataset", revision=self.revision)
        for _ in range(2):
            data = hub.read_small(url, _MAX_SMALL_BYTES)
            if _has_hash(data, sha256, blob_id):
                with disk_full_while(f"saving {target.name}", target.parent):
                    write_whole(target, data)
                return
        raise self._wrong_hash(path)

    def _wrong_hash(self, path: str) -> WrongHashError:
        return WrongHashError(
            f"{path} of {self.name} has other content than the run signs for it.", "Tell the organiser of the run."
        )


def _has_hash(data: bytes, sha256: str, blob_id: str) -> bool:
    """Whether the bytes have the given hashes; an empty one is not compared."""
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        return False
    # The id that git gives a blob; it ties small files to the pinned commit.
    return not blob_id or hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == blob_id


def _safe(path: str) -> str:
    """The path, if it cannot leave the folder that it is put in.

    Raises:
        HubRefusedError: It can.
    """
    if not path or not all(_PART.match(part) for part in path.split("/")):
        raise HubRefusedError(
            f"The run names the file {path!r}, which is not a plain relative path.", "Do not join this run."
        )
    return path
