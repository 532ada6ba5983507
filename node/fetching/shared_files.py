"""What a run's experts share: text encoder and initial weights, from the data repo, at the pinned revision.

    runs/<run_id>/text/<path>        as the run's description names it, ready for `load_text_encoder`

Only data is fetched: JSON, plain vocabularies and safetensors; nothing that a loader would execute or unpickle.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from paris.experts.files import file_sha256, write_whole
from paris.node.errors import HubRefusedError, WrongHashError, disk_full_while
from paris.node.fetching.fetcher import Fetcher
from paris.node.hub.client import Hub, translated
from paris.node.hub.file import Wanted
from paris.protocol.records import RunSpec

_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
_SUFFIXES = (".json", ".txt", ".model", ".safetensors")
_MAX_SMALL_BYTES = 64 * 2**20
_WEIGHTS = "model.safetensors"


def fetch_text_files(hub: Hub, fetcher: Fetcher, spec: RunSpec, revision: str, folder: Path) -> None:
    """Fetch what is not there yet. Safe to repeat.

    Args:
        hub: The run's Hub.
        fetcher: For the large files.
        spec: Gives the data repo, the TextConfig and the initial weights.
        revision: Commit of the data repo that the manifest pins.
        folder: Receives the files under their own names.

    Raises:
        WrongHashError: A file has other content than the signed settings, or the pinned tree, name.
        HubRefusedError, TransientHubError, DiskFullError: As the requests go.
    """
    if spec.initial_weights is not None:
        start = spec.initial_weights
        wanted = Wanted(spec.data_repo, revision, _safe(start.path), start.sha256, start.bytes)
        _fetch_large(fetcher, wanted, folder / start.path)
    text = spec.text
    if text.get("kind") == "vocabulary":
        path = _safe(str(text.get("path", "vocab.json")))
        _fetch_small(hub, spec.data_repo, revision, path, folder, sha256=str(text.get("sha256", "")))
        return
    folders = {str(text.get("path", "")), str(text.get("tokenizer_path", "") or text.get("path", ""))}
    for path in sorted(folders):
        for entry in _list(hub, spec.data_repo, revision, _safe(path)):
            _fetch_entry(hub, fetcher, spec, revision, entry, folder)


def _list(hub: Hub, repo: str, revision: str, path: str) -> list[Any]:
    with translated(f"listing {path} of {repo}"):
        entries = list(hub.api.list_repo_tree(repo, path, repo_type="dataset", revision=revision))
    return [entry for entry in entries if hasattr(entry, "size") and entry.path.endswith(_SUFFIXES)]


def _fetch_entry(hub: Hub, fetcher: Fetcher, spec: RunSpec, revision: str, entry: Any, folder: Path) -> None:
    path = _safe(str(entry.path))
    signed = str(spec.text.get("sha256", "")) if PurePosixPath(path).name == _WEIGHTS else ""
    if entry.lfs is None:
        _fetch_small(hub, spec.data_repo, revision, path, folder, sha256=signed, blob_id=str(entry.blob_id))
        return
    sha256 = str(entry.lfs.sha256)
    if signed and sha256 != signed:
        raise _wrong(path, spec.data_repo)
    _fetch_large(fetcher, Wanted(spec.data_repo, revision, path, sha256, int(entry.size)), folder / path)


def _fetch_large(fetcher: Fetcher, wanted: Wanted, target: Path) -> None:
    if target.exists() and target.stat().st_size == wanted.num_bytes and file_sha256(target) == wanted.sha256:
        return
    cached = fetcher.fetch(wanted)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    shutil.copyfile(cached, partial)
    partial.replace(target)


def _fetch_small(
    hub: Hub, repo: str, revision: str, path: str, folder: Path, *, sha256: str, blob_id: str = ""
) -> None:
    target = folder / path
    if target.exists() and _is_right(target.read_bytes(), sha256, blob_id):
        return
    url = hub.url(repo, path, repo_type="dataset", revision=revision)
    for _ in range(2):
        data = hub.read_small(url, _MAX_SMALL_BYTES)
        if _is_right(data, sha256, blob_id):
            with disk_full_while(f"saving {target.name}", target.parent):
                write_whole(target, data)
            return
    raise _wrong(path, repo)


def _is_right(data: bytes, sha256: str, blob_id: str) -> bool:
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        return False
    # The id that git gives a blob; it ties small files to the pinned commit.
    return not blob_id or hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == blob_id


def _safe(path: str) -> str:
    """A path that stays inside the folder it is put in.

    Raises:
        HubRefusedError: It would not.
    """
    if not path or not all(_PART.match(part) for part in path.split("/")):
        raise HubRefusedError(
            f"The run names the file {path!r}, which is not a plain relative path.", "Do not join this run."
        )
    return path


def _wrong(path: str, repo: str) -> WrongHashError:
    return WrongHashError(
        f"{path} of {repo} has other content than the run signs for it.", "Tell the organiser of the run."
    )
