"""A data set repo of a Hub as a source: the stock client against a real embedded Hub, read at one commit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from hub_process import OWNER_TOKEN, HubProcess, client_environment
from picture_piles import WRITERS, pile

from paris.coordinator.prepare import prepare, prepare_config
from paris.coordinator.prepare.errors import PrepareError, SourceMissingError, SourceUnreachableError

_UPLOAD = """
import os, sys
from huggingface_hub import HfApi
api = HfApi(token=os.environ["OWNER_TOKEN"])
for kind in sys.argv[2:]:
    api.create_repo(f"lab/{kind}", repo_type="dataset", private=kind == "folder")
    api.upload_folder(repo_id=f"lab/{kind}", repo_type="dataset", folder_path=f"{sys.argv[1]}/{kind}")
    api.create_tag(f"lab/{kind}", repo_type="dataset", tag="v1")
    api.delete_file("README.md", f"lab/{kind}", repo_type="dataset")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubProcess, Path]]:
    root = tmp_path_factory.mktemp("hub")
    for kind, write in WRITERS.items():
        write(root / "piles" / kind, pile())
        (root / "piles" / kind / "README.md").write_text("# a pile")
    process = HubProcess(root / "hub")
    command = [sys.executable, "-c", _UPLOAD, str(root / "piles"), *WRITERS]
    subprocess.run(command, env=client_environment(process.url, root / "home"), check=True, timeout=DEADLINE_S)
    yield process, root
    process.stop()


def settings(source: dict[str, object]) -> dict[str, object]:
    sizes = {"num_clusters": 1, "heldout_rows": 1, "image_size": 16, "view_px": 32}
    return {"source": source, **sizes}


@pytest.mark.parametrize("kind", list(WRITERS))
def test_a_repo_gives_the_same_data_as_its_files_on_this_machine(
    hub: tuple[HubProcess, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, root = hub
    monkeypatch.setenv("PARIS_SOURCE_TOKEN", OWNER_TOKEN)
    source = {"kind": "hub", "repo": f"lab/{kind}", "revision": "v1", "endpoint": process.url, "name": "a pile"}
    far = prepare(prepare_config(settings(source)), tmp_path / "far")
    here = {"kind": kind, "path": str(root / "piles" / kind), "name": "a pile"}
    near = prepare(prepare_config(settings(here)), tmp_path / "near")
    assert far.clusters == near.clusters
    pictures = {path.name for path in tmp_path.rglob("*") if path.suffix in (".png", ".tar")} - {"clusters.png"}
    assert pictures == set()


def test_what_is_not_there_is_named(
    hub: tuple[HubProcess, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARIS_SOURCE_TOKEN", raising=False)
    wrong: list[tuple[dict[str, object], type[PrepareError], str]] = [
        ({"repo": "lab/nothing"}, SourceMissingError, "There is no data set lab/nothing"),
        ({"repo": "lab/folder"}, SourceMissingError, "There is no data set lab/folder .* the token has no access"),
        ({"repo": "lab/parquet", "revision": "v9"}, SourceMissingError, "has no revision 'v9'"),
        ({"repo": "lab/parquet", "endpoint": "http://127.0.0.1:9"}, SourceUnreachableError, "does not answer"),
    ]
    for other, kind, message in wrong:
        source = {"kind": "hub", "endpoint": hub[0].url, **other}
        with pytest.raises(kind, match=message):
            prepare(prepare_config(settings(source)), tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == ["lock"]


def test_a_hub_that_goes_away_stops_the_work_and_drops_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paris.coordinator.prepare.sources.hub.FIRST_WAIT_S", 0.01)
    WRITERS["webdataset"](tmp_path / "piles" / "webdataset", pile())
    (tmp_path / "piles" / "webdataset" / "README.md").write_text("# a pile")
    process = HubProcess(tmp_path / "hub")
    command = [sys.executable, "-c", _UPLOAD, str(tmp_path / "piles"), "webdataset"]
    subprocess.run(command, env=client_environment(process.url, tmp_path / "home"), check=True, timeout=DEADLINE_S)
    source = {"kind": "hub", "repo": "lab/webdataset", "endpoint": process.url}

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "list":
            process.kill()

    with pytest.raises(SourceUnreachableError, match="does not answer"):
        prepare(prepare_config(settings(source)), tmp_path / "data", stop)
    assert not (tmp_path / "data" / "prepared.json").exists()
    again = HubProcess(tmp_path / "hub", port=process.port)
    try:
        assert prepare(prepare_config(settings(source)), tmp_path / "data").dropped == {}
    finally:
        again.stop()
