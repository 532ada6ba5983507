"""Safetensors headers written by hand, sound and hostile."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from paris.coordinator.verify.header import read_header
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.structure_rung import check_readable
from paris.experts.models.model import initial_expert
from paris.experts.models.presets import ModelConfig

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path: Path, header: dict | bytes, body: int, length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + bytes(body))
    return path


def read(path: Path, max_bytes: int = 1 << 16):
    return read_header(path, Checks(), max_bytes=max_bytes, max_depth=3)


def test_a_file_of_the_library_is_read_with_every_tensor_where_the_library_put_it(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.tensor(2.0)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    entries = read(tmp_path / "x.safetensors")
    assert {name: entry.shape for name, entry in entries.items()} == {"a": (2, 3), "b": (5,), "c": ()}
    raw = (tmp_path / "x.safetensors").read_bytes()
    assert raw[entries["a"].begin : entries["a"].end] == tensors["a"].numpy().tobytes()


HOSTILE = {
    "cut-prefix": (b"", 0, None, "header-prefix"),
    "claims-exabytes": (b"{}", 0, 2**63, "header-size"),
    "claims-more-than-the-file": (b"{}", 0, 999, "header-size"),
    "claims-a-byte-more-than-the-file": (b"{}", 0, 3, "header-size"),
    "bomb": (b'{"' + b"a" * (1 << 17) + b'":1}', 0, None, "header-size"),
    "deep": (b"[" * 5000 + b"]" * 5000, 0, None, "header-depth"),
    "deep-behind-a-string": (b'{"a\\"[":' + b"[" * 9 + b"]" * 9 + b"}", 0, None, "header-depth"),
    "deep-between-numbers": (b'{"a":[0,0,0,[0,0,0,[0,0,0,[0]]]]}', 0, None, "header-depth"),
    "pickle": (b"\x80\x04\x95cposix\nsystem\n.", 0, None, "header-json"),
    "zip-of-a-torch-file": (b"PK\x03\x04archive/data.pkl", 0, None, "header-json"),
    "not-a-table": (b"[1]", 0, None, "header-json"),
    "same-key-twice": (b'{"a":{},"a":{}}', 0, None, "header-json"),
    "huge-number": (b'{"a":' + b"9" * 5000 + b"}", 0, None, "header-json"),
    "not-finite": (b'{"a":NaN}', 0, None, "header-json"),
    "half-a-character-in-the-metadata": (b'{"__metadata__":{"x":"\\ud800"}}', 0, None, "header-json"),
    "half-a-character-in-a-name": (b'{"\\udc00":' + json.dumps(F32).encode() + b"}", 8, None, "header-json"),
    "minus-zero-offset": (
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[-0,8]}}',
        8,
        None,
        "header-json",
    ),
    "metadata-not-texts": ({"__metadata__": {"a": 1}}, 0, None, "header-metadata"),
    "metadata-without-end": ({"__metadata__": {str(i): "" for i in range(65)}}, 0, None, "header-metadata"),
    "extra-field": ({"a": {**F32, "code": "x"}}, 8, None, "header-entry"),
    "unknown-dtype": ({"a": {**F32, "dtype": "OBJECT"}}, 8, None, "header-dtype"),
    "dtype-not-text": ({"a": {**F32, "dtype": ["F32"]}}, 8, None, "header-dtype"),
    "negative-shape": ({"a": {**F32, "shape": [-2]}}, 8, None, "header-shape"),
    "boolean-shape": ({"a": {**F32, "shape": [True, 2]}}, 8, None, "header-shape"),
    "dimension-beyond-any-disk": ({"a": {**F32, "shape": [2**50]}}, 8, None, "header-shape"),
    "dimension-as-large-as-may-be": ({"a": {**F32, "shape": [2**50 - 1]}}, 8, None, "header-span"),
    "many-dimensions": ({"a": {**F32, "shape": [1] * 9 + [2]}}, 8, None, "header-shape"),
    "fractional-offset": ({"a": {**F32, "data_offsets": [0, 8.0]}}, 8, None, "header-offsets"),
    "three-offsets": ({"a": {**F32, "data_offsets": [0, 4, 8]}}, 8, None, "header-offsets"),
    "backwards": ({"a": {**F32, "data_offsets": [8, 0]}}, 8, None, "header-span"),
    "shape-larger-than-span": ({"a": {**F32, "shape": [2**40]}}, 8, None, "header-span"),
    "overlap": ({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, 12, None, "header-tiling"),
    "same-bytes-twice": ({"a": F32, "b": F32}, 8, None, "header-tiling"),
    "hole": ({"a": F32, "b": {**F32, "data_offsets": [12, 20]}}, 20, None, "header-tiling"),
    "starts-late": ({"a": {**F32, "data_offsets": [4, 12]}}, 12, None, "header-tiling"),
    "bytes-behind": ({"a": F32}, 9, None, "header-end"),
    "cut-off": ({"a": F32}, 7, None, "header-end"),
}


def test_a_header_may_have_eight_dimensions_empty_tensors_and_sixty_four_texts(tmp_path):
    header = {
        "__metadata__": {str(i): "" for i in range(64)},
        "a": {**F32, "shape": [1] * 7 + [2]},
        "b": {**F32, "shape": [0, 3], "data_offsets": [0, 0]},
    }
    entries = read(write(tmp_path / "x.safetensors", header, 8))
    assert {name: (entry.shape, entry.end - entry.begin) for name, entry in entries.items()} == {
        "a": ((1,) * 7 + (2,), 8),
        "b": ((0, 3), 0),
    }


@pytest.mark.parametrize(("header", "body", "length", "check"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_refused_with_its_reason(tmp_path, header, body, length, check):
    path = tmp_path / "x.safetensors"
    if check == "header-prefix":
        path.write_bytes(b"abc")
    else:
        write(path, header, body, length)
    with pytest.raises(CheckFailed) as refused:
        read(path)
    assert refused.value.check.name == check


def test_no_flipped_byte_of_a_header_raises_anything_but_a_refusal(tmp_path):
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2)}, tmp_path / "x.safetensors")
    sound, dice = (tmp_path / "x.safetensors").read_bytes(), random.Random(0)
    refused = 0
    for _ in range(400):
        broken = bytearray(sound)
        broken[dice.randrange(len(sound) - 28)] = dice.randrange(256)
        (tmp_path / "y.safetensors").write_bytes(broken)
        try:
            read(tmp_path / "y.safetensors")
        except CheckFailed:
            refused += 1
    assert refused > 300


def test_what_is_accepted_the_library_opens_too(tmp_path):
    """Bytes that Python's JSON takes and the library's does not must not pass."""
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2)}, tmp_path / "x.safetensors", metadata={"k": "v"})
    sound, dice, path = (tmp_path / "x.safetensors").read_bytes(), random.Random(1), tmp_path / "y.safetensors"
    length = int.from_bytes(sound[:8], "little")
    pieces = [
        b"-",
        b"-0",
        b"0",
        b"\\ud800",
        b"\\u0000",
        b"\\ud83d\\ude00",
        b" ",
        b"\t",
        b"1e0",
        b"\xc3\xa9",
        b"\xff",
        b"/",
        b"+",
    ]
    accepted = 0
    for _ in range(600):
        at = dice.randrange(length)
        header = sound[8 : 8 + at] + dice.choice(pieces) + sound[8 + at + dice.randrange(2) : 8 + length]
        write(path, header, 28)
        try:
            read(path)
        except CheckFailed:
            continue
        accepted += 1
        with safe_open(path, framework="pt") as file:
            assert file.keys()
    assert accepted > 20


def test_a_file_that_the_release_could_not_read_is_refused(tmp_path):
    size = {"image_size": 8, "in_channels": 3, "patch_size": 4, "hidden_size": 16, "num_layers": 1, "num_heads": 2}
    config = ModelConfig(**size, text_embed_dim=10, max_text_tokens=5)
    save_file(initial_expert(config, 0).state_dict(), tmp_path / "x.safetensors")
    check_readable(tmp_path / "x.safetensors", config, Checks())
    raw = (tmp_path / "x.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = b'{"__metadata__":{"x":"\\ud800"},' + raw[9 : 8 + length]
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])
    with pytest.raises(CheckFailed, match="the release's reader refuses it"):
        check_readable(tmp_path / "x.safetensors", config, Checks())
