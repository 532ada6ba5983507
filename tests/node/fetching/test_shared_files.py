"""Text encoder and initial weights: files that all experts of a run share."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from paris.node.errors import HubRefusedError, TransientHubError, WrongHashError
from paris.node.fetching.shared_files import fetch_shared_files
from paris.protocol.records import SharedFile

WEIGHTS = bytes(range(256)) * 64


@pytest.fixture
def spec_with(file_hub, make_spec):
    """A description that names initial weights, of a Hub that has them and the vocabulary."""
    vocabulary = file_hub.add("vocab.json", b'["cat"]')
    weights = file_hub.add("initial_weights.safetensors", WEIGHTS)
    text = {"kind": "vocabulary", "dim": 8, "max_tokens": 4, "path": "vocab.json", "sha256": vocabulary.sha256}

    def make(path: str = "initial_weights.safetensors"):
        return make_spec(
            text=text, initial_weights=SharedFile(path=path, sha256=weights.sha256, bytes=weights.num_bytes)
        ).payload

    return make


def test_the_vocabulary_is_fetched_once_and_a_wrong_one_refused(file_hub, downloader, make_spec, tmp_path):
    wanted = file_hub.add("vocab.json", b'["cat"]')
    text = {"kind": "vocabulary", "dim": 8, "max_tokens": 4, "path": "vocab.json", "sha256": wanted.sha256}
    spec = make_spec(text=text).payload
    for _ in range(2):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "text")
    assert (tmp_path / "text" / "vocab.json").read_bytes() == b'["cat"]'
    assert len(file_hub.requests) == 1
    file_hub.files["vocab.json"] = b'["dog"]'
    with pytest.raises(WrongHashError, match=r"vocab\.json of org/data"):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "other")
    file_hub.faults["vocab.json"] = [503]
    with pytest.raises(TransientHubError):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "other")


def test_a_run_without_text_has_nothing_to_fetch_for_it(file_hub, downloader, make_spec, tmp_path):
    fetch_shared_files(downloader, make_spec(text={"kind": "none"}).payload, "1" * 40, tmp_path / "text")
    assert file_hub.requests == []


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a//b", ".ssh/id", "a/../b"])
def test_a_run_never_names_a_path_outside_its_folder(file_hub, downloader, make_spec, tmp_path, path):
    spec = make_spec(text={"kind": "vocabulary", "path": path}).payload
    with pytest.raises(HubRefusedError, match="not a plain relative path"):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "text")
    assert file_hub.requests == []


def test_initial_weights_are_fetched_once_beside_the_text_encoder(file_hub, downloader, spec_with, tmp_path):
    for _ in range(2):
        fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    assert (tmp_path / "text" / "initial_weights.safetensors").read_bytes() == WEIGHTS
    assert [path for path, _ in file_hub.requests].count("initial_weights.safetensors") == 1


def test_initial_weights_that_are_not_the_signed_ones_are_fetched_again_and_then_refused(
    file_hub, downloader, spec_with, tmp_path
):
    file_hub.faults["initial_weights.safetensors"] = ["wrong", "wrong"]
    with pytest.raises(WrongHashError):
        fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    assert not (tmp_path / "text" / "initial_weights.safetensors").exists()
    fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    (tmp_path / "text" / "initial_weights.safetensors").write_bytes(b"damaged")
    fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    assert (tmp_path / "text" / "initial_weights.safetensors").read_bytes() == WEIGHTS


def test_initial_weights_outside_their_folder_cannot_even_be_named(spec_with):
    for path in ("../x.safetensors", "/etc/passwd", "a/../../x"):
        with pytest.raises(ValidationError):
            spec_with(path)
