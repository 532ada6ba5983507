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
from paris.node.hub.sending import Sending

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


def test_what_goes_out_is_counted_without_a_limit_too(hub, file, tmp_path):
    other = tmp_path / "optimizer.safetensors"
    other.write_bytes(random.Random(2).randbytes(SIZE))
    told: list[int] = []
    ticks = iter(range(0, 10**6, 3))
    sending = Sending(lambda out, _: told.append(out), lambda: next(ticks))
    files = {"weights.safetensors": file, "optimizer.safetensors": other}
    for _ in range(2):  # the second time the Hub has both
        with translated("uploading"), additions(files, None, sending) as operations:
            hub.api.create_commit("org/model", operations, commit_message="Two files", create_pr=True)
    assert told == sorted(told)
    assert max(told) == told[-1] == 2 * SIZE
    assert told.count(2 * SIZE) >= 2, "the second try begins where the first one ended, and sends nothing"
    assert len(set(told)) > 4
