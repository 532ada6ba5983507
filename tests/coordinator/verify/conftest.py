"""One small run for all verification tests: its data, its embedded Hub; experts are trained when first asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from verify_world import REPO, World, make_data

from paris.coordinator.hub.server import HubServer

sys.path.append(str(Path(__file__).parents[2] / "swarm" / "attacks"))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_data(folder)
    with HubServer(folder / "hub", open_registration=True) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        token = (folder / "hub" / "admin.token").read_text().strip()
        api = HfApi(endpoint=hub.url, token=token)
        api.create_repo(REPO)
        api.create_commit(REPO, [CommitOperationAdd("notes.txt", b"A run.\n")], commit_message="Begin")
        yield World(folder, hub.url, token)
