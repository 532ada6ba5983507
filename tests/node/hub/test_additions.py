"""Uploads within the volunteer's limit: every byte that is sent is counted once, and a stop ends them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from paris.coordinator.hub import HubServer, add_user, admin_token
from paris.node.errors import StoppedError
from paris.node.hub.additions import additions
from paris.node.hub.client import Hub, translated

TOKEN = "a-token-of-ada-for-tests"
SIZE = 1 << 20


@pytest.fixture
def hub(tmp_path) -> Hub:
    with HubServer(tmp_path / "hub") as server:
        add_user(tmp_path / "hub", "ada", TOKEN)
        HfApi(endpoint=server.url, token=admin_token(tmp_path / "hub")).create_repo("org/model")
        yield Hub(server.url, TOKEN)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def send(hub: Hub, file) -> None:
    with translated("uploading"), additions({"weights.safetensors": file}, hub.passed) as operations:
        hub.api.create_commit("org/model", operations, commit_message="A file", create_pr=True)


def test_the_bytes_that_are_sent_are_counted_piece_by_piece_and_those_of_the_digest_are_not(hub, file):
    passed: list[int] = []
    hub.passed = passed.append
    send(hub, file)
    assert SIZE <= sum(passed) < SIZE + 2048, "a sample of the file is sent too"
    assert max(passed) <= SIZE // 4
    arrived = HfApi(endpoint=hub.endpoint, token=TOKEN).hf_hub_download(
        "org/model", "weights.safetensors", revision="refs/pr/1", local_dir=file.parent / "there"
    )
    assert Path(arrived).read_bytes() == file.read_bytes()


def test_a_stop_ends_an_upload_that_waits_for_its_limit(hub, file):
    sent: list[int] = []

    def stop(num_bytes: int) -> None:
        sent.append(num_bytes)
        if sum(sent) > SIZE // 2:
            raise StoppedError("Stopped.")

    hub.passed = stop
    with pytest.raises(StoppedError):
        send(hub, file)
    assert sum(sent) < SIZE
