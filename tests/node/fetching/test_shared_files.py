"""Text encoder and initial weights: files that all experts of a run share."""

from __future__ import annotations

import hashlib
import subprocess
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from paris.node.errors import HubRefusedError, TransientHubError, WrongHashError
from paris.node.fetching.shared_files import fetch_shared_files
from paris.protocol.run_records import SharedFile

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


CONFIG, TOKENS = b'{"hidden_size": 8}', b"a b c"
NETWORK = bytes(range(100, 200))


def blob_id(data: bytes) -> str:
    return (
        subprocess.run(["git", "hash-object", "--stdin"], input=data, stdout=subprocess.PIPE, check=True)
        .stdout.decode()
        .strip()
    )


@pytest.fixture
def encoder(file_hub, downloader):
    """A text encoder and its tokenizer in two folders of the data repo, listed as huggingface_hub lists them."""
    files = {"clip/config.json": CONFIG, "clip/model.safetensors": NETWORK, "tokens/vocab.txt": TOKENS}
    for path, data in files.items():
        file_hub.add(path, data)
    lfs = SimpleNamespace(sha256=hashlib.sha256(NETWORK).hexdigest())
    tree = [
        SimpleNamespace(path=path, size=len(data), blob_id=blob_id(data), lfs=lfs if data is NETWORK else None)
        for path, data in files.items()
    ]
    tree += [
        SimpleNamespace(path="clip/run.py", size=1, blob_id="0" * 40, lfs=None),
        SimpleNamespace(path="clip/deeper.json", tree_id="0" * 40),
    ]
    asked = []

    def list_repo_tree(repo: str, path: str, *, repo_type: str, revision: str) -> list:
        asked.append((repo, path, repo_type, revision))
        return [entry for entry in tree if entry.path.startswith(f"{path}/")]

    downloader.hub.api = SimpleNamespace(list_repo_tree=list_repo_tree)
    return SimpleNamespace(tree=tree, lfs=lfs, asked=asked)


def text_of(**fields: str) -> dict[str, str]:
    sha256 = hashlib.sha256(NETWORK).hexdigest()
    return {"kind": "transformers", "path": "clip", "tokenizer_path": "tokens", "sha256": sha256, **fields}


def test_of_a_text_encoders_folders_only_data_is_fetched_each_file_once(
    file_hub, downloader, make_spec, encoder, tmp_path
):
    spec = make_spec(text=text_of()).payload
    for _ in range(2):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path)
    assert encoder.asked[:2] == [("org/data", path, "dataset", "1" * 40) for path in ("clip", "tokens")]
    found = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.glob("*/*.*")
        if path.parent.name != "cache"
    }
    assert found == {"clip/config.json": CONFIG, "clip/model.safetensors": NETWORK, "tokens/vocab.txt": TOKENS}
    assert sorted(path for path, _ in file_hub.requests) == sorted(found)


def test_an_encoder_without_a_folder_of_its_own_for_tokens_is_listed_once(downloader, make_spec, encoder, tmp_path):
    fetch_shared_files(downloader, make_spec(text=text_of(tokenizer_path="")).payload, "1" * 40, tmp_path)
    assert [asked[1] for asked in encoder.asked] == ["clip"]


def test_a_network_that_the_tree_lists_with_another_hash_than_signed_is_not_fetched(
    file_hub, downloader, make_spec, encoder, tmp_path
):
    encoder.lfs.sha256 = "0" * 64
    with pytest.raises(WrongHashError, match=r"clip/model\.safetensors of org/data"):
        fetch_shared_files(downloader, make_spec(text=text_of()).payload, "1" * 40, tmp_path)
    assert "clip/model.safetensors" not in [path for path, _ in file_hub.requests]


def test_a_small_file_that_is_not_of_the_pinned_commit_is_asked_for_twice_and_refused(
    file_hub, downloader, make_spec, encoder, tmp_path
):
    file_hub.files["tokens/vocab.txt"] = b"d e f"
    with pytest.raises(WrongHashError, match=r"tokens/vocab\.txt of org/data"):
        fetch_shared_files(downloader, make_spec(text=text_of()).payload, "1" * 40, tmp_path)
    assert [path for path, _ in file_hub.requests].count("tokens/vocab.txt") == 2
    assert not (tmp_path / "tokens" / "vocab.txt").exists()
