"""Captions as token ids: training takes those of the shards where its own tokenizer made them, with the same result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_pretrained import write_clip
from tiny_training import SHAPE, SHARD_ROWS, make_rows, make_task, shard_path

from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import write_shard
from paris.experts.errors import TextError
from paris.experts.frozen.codec import load_codec
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.frozen.text_transformers import TransformersEncoder, tokenizer_digest
from paris.experts.frozen.text_vocabulary import VocabularyEncoder
from paris.experts.training.batches import Batches

LENGTH = 12


def text_config(**change: object) -> TextConfig:
    places = {"path": "text_encoder", "tokenizer_path": "tokenizer", "model_class": "CLIPTextModel"}
    return TextConfig.from_settings({"kind": "transformers", "dim": 16, "max_tokens": LENGTH, **places, **change})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    write_clip(folder, dim=16, max_tokens=LENGTH)
    return folder


def write_shards(
    folder: Path, out: Path, tokenizer: str, *, all_rows: bool = True, more: tuple[str, ...] = ()
) -> ClusterData:
    """The tiny run's shards with the ids of their captions, but for one row unless all shall have them."""
    encoder = load_text_encoder(text_config(), folder)
    paths = []
    for index, count in enumerate(SHARD_ROWS):
        rows = make_rows(count, index)
        made = encoder.tokenizer([row.caption for row in rows], truncation=True, max_length=LENGTH)["input_ids"]
        rows = [replace(row, tokens=tuple(ids)) for row, ids in zip(rows, made, strict=True)]
        ids_of_more = encoder.tokenizer(list(more), truncation=True, max_length=LENGTH)["input_ids"] if more else []
        rows = [replace(row, more_captions=more, more_tokens=tuple(map(tuple, ids_of_more))) for row in rows]
        rows[0] = rows[0] if all_rows else replace(rows[0], tokens=None)
        write_shard(shard_path(out, index), rows, SHAPE, "uint8", tokenizer)
        paths.append(shard_path(out, index))
    return ClusterData(paths)


@pytest.mark.filterwarnings("ignore:1 prompts have more")
@pytest.mark.parametrize("attend_padding", [False, True])
def test_ids_have_the_states_of_their_texts_to_the_bit(folder: Path, attend_padding: bool) -> None:
    encoder = load_text_encoder(text_config(attend_padding=attend_padding), folder)
    prompts = ["ab", "", "abcdefghijklmnop", "a b c"]
    ids = encoder.tokenizer(prompts, truncation=True, max_length=LENGTH)["input_ids"]
    for one, other in zip(encoder.encode(prompts), encoder.encode_ids(ids), strict=True):
        assert torch.equal(one, other)


def batches(folder: Path, data: ClusterData, texts_seen: list[str], patch: pytest.MonkeyPatch) -> Batches:
    """Batches that note which texts are tokenized, but for the null prompt."""
    really = TransformersEncoder.encode

    def encode(self: TransformersEncoder, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        texts_seen.extend(prompt for prompt in prompts if prompt)
        return really(self, prompts)

    patch.setattr(TransformersEncoder, "encode", encode)
    task = make_task().model_copy(update={"text": text_config()})
    return Batches(task, data, load_codec(task.codec, folder), load_text_encoder(task.text, folder))


@pytest.mark.parametrize("cache_bytes", [0, 2**28])
def test_training_takes_the_ids_of_its_own_tokenizer_and_no_others(
    folder: Path, tmp_path: Path, cache_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paris.experts.training.batches._CACHE_BYTES", cache_bytes)
    own = tokenizer_digest(folder / "tokenizer", LENGTH)
    cases = {
        "own": write_shards(folder, tmp_path / "own", own),
        "other": write_shards(folder, tmp_path / "other", tokenizer_digest(folder / "tokenizer", LENGTH + 1)),
        "some": write_shards(folder, tmp_path / "some", own, all_rows=False),
    }
    made, seen = {}, {}
    for name, data in cases.items():
        seen[name] = []
        with monkeypatch.context() as patch:
            one = batches(folder, data, seen[name], patch)
            made[name] = [one.batch(step) for step in range(3)]
    assert seen["own"] == []
    assert seen["other"]
    assert seen["some"]
    for name in ("other", "some"):
        for one, other in zip(made["own"], made[name], strict=True):
            assert torch.equal(one.text, other.text)
            assert torch.equal(one.x0, other.x0)


@pytest.mark.filterwarnings("ignore:[0-9]* prompts have more")
def test_ids_of_the_drawn_captions_are_taken_too(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tokenizer_digest(folder / "tokenizer", LENGTH)
    made, seen = {}, {}
    for name, digest in (("own", own), ("other", own[::-1])):
        data = write_shards(folder, tmp_path / name, digest, more=("another text", "a third"))
        seen[name] = []
        with monkeypatch.context() as patch:
            one = batches(folder, data, seen[name], patch)
            made[name] = [one.batch(step) for step in range(3)]
    assert seen["own"] == []
    assert {"another text", "a third"} < set(seen["other"])
    assert all(torch.equal(one.text, other.text) for one, other in zip(made["own"], made["other"], strict=True))


def test_a_vocabulary_has_no_ids() -> None:
    encoder = VocabularyEncoder(TextConfig(kind="vocabulary", dim=4, max_tokens=4), ["cat"])
    assert encoder.tokenizer_sha256 == ""
    with pytest.raises(TextError, match="no token ids"):
        encoder.encode_ids([[1]])
