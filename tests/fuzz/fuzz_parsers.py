"""Every parser of bytes that come from strangers, with sound documents and the errors that it may raise."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import save as save_safetensors

from paris.coordinator.errors import ConfigError
from paris.coordinator.hub.api.lfs import _Batch, _Completion
from paris.coordinator.hub.api.operations import parse_commit
from paris.coordinator.hub.api.resolve import _RANGE
from paris.coordinator.hub.errors import Refusal
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub.pages.cards import markdown, markdown_line
from paris.coordinator.hub.pages.links import Links
from paris.coordinator.hub.pages.tensor_header import read_header as read_shown_header
from paris.coordinator.run.config import dump_config, load_recipe, parse_config
from paris.coordinator.verify.header import read_header
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.experts.data.shards import Row, ShardFile, write_shard
from paris.experts.errors import ExpertError
from paris.experts.release.layout import EXPERT_FILE, read_layout
from paris.node.hub.client import retry_after_s
from paris.node.machine.unit import UnitFolder
from paris.node.sharing.members import usable
from paris.protocol import line
from paris.protocol.addresses import split_peer_address
from paris.protocol.canonical import canonical_bytes, parse_json
from paris.protocol.envelope import open_envelope, seal
from paris.protocol.errors import AddressError, NewerFileError, ParisError, RecordError
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.shard_request import open_request, seal_request
from paris.protocol.signing import Identity
from paris.protocol.version import PROTOCOL_VERSION
from paris.protocol.work_records import Want

_NOW = 1_800_000_000.0
_CARD = b"""# A *card*

![a](b.png) [c](d.md#e "f") <https://example.org> ~~g~~ `h`

| i | j |
| - | -: |
| k | l \\| m |

1. > - n
   ```o
"""


@dataclass(frozen=True)
class Parser:
    """A parser under test."""

    seeds: list[bytes]
    parse: Callable[[bytes, Path], object]
    """Gets the bytes, and a folder of its own for parsers that read a file."""
    refusals: tuple[type[Exception], ...]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _envelopes() -> Parser:
    identity = Identity.generate()
    run_id = make_run_id("fuzz", identity.public_key)
    want = Want(name="ada", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="1")
    sealed = seal(want, identity, run_id=run_id, sequence=1, issued_at=_NOW, expires_at=_NOW + 60)

    def parse(data: bytes, _: Path) -> object:
        return open_envelope(data, run_id=run_id, coordinator=identity.public_key, now=_NOW)

    return Parser([sealed.data], parse, (ParisError,))


def _shard_requests() -> Parser:
    identity = Identity.generate()
    asked = seal_request(identity, run_id="fuzz-0123456789abcdef", to="me", sha256="0" * 64, offset=5, at=_NOW)

    def parse(data: bytes, _: Path) -> object:
        return open_request(data, run_id="fuzz-0123456789abcdef", peer_id="me", now=_NOW)

    return Parser([asked], parse, (ParisError,))


def _line_requests() -> Parser:
    sealer, run_id = Sealer(Identity.generate(), "fuzz-0123456789abcdef", lambda: _NOW), "fuzz-0123456789abcdef"
    marks = ["0" * 16, "1" * 16]
    asked = [
        line.seal_request(sealer, run_id=run_id, to="me", known=marks, record=record, at=_NOW)
        for record in (None, b"{}")
    ]

    def parse(data: bytes, _: Path) -> object:
        return line.open_request(data, run_id=run_id, to="me", now=_NOW)

    return Parser(asked, parse, (ParisError,))


def _line_replies() -> Parser:
    head = line.ReplyHead(version=PROTOCOL_VERSION, outcome="stored", place=3, ask_again_s=20.0, gone=("0" * 16,))
    return Parser([line.make_reply(head, [b"{}", b"[]"])], lambda data, _: line.open_reply(data), (ParisError,))


def _headers() -> Parser:
    tensors = {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}

    def parse(data: bytes, folder: Path) -> object:
        (folder / "x.safetensors").write_bytes(data)
        return read_header(folder / "x.safetensors", Checks(), max_bytes=1 << 16, max_depth=3)

    return Parser([save_safetensors(tensors, metadata={"format": "pt"})], parse, (CheckFailed,))


def _shown_headers() -> Parser:
    tensors = {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}

    def parse(data: bytes, folder: Path) -> object:
        (folder / "x.safetensors").write_bytes(data)
        return read_shown_header(folder / "x.safetensors").counts()

    return Parser([save_safetensors(tensors, metadata={"format": "pt"})], parse, (ValueError,))


def _markdown() -> Parser:
    links = Links("", "lab/x")

    def parse(data: bytes, _: Path) -> object:
        return markdown(_text(data), links).encode(), markdown_line(_text(data), links).encode()

    return Parser([_CARD], parse, ())


def _shards() -> Parser:
    rows = [
        Row(
            row_id=str(i),
            latent=np.full((1, 2, 2), i, np.uint8),
            caption=f"a {i}",
            source="s",
            url="u",
            author="a",
            licence="cc0-1.0",
            caption_origin="test",
        )
        for i in range(3)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.parquet"
        write_shard(path, rows, (1, 2, 2), "uint8")
        seed = path.read_bytes()

    def parse(data: bytes, folder: Path) -> object:
        (folder / "x.parquet").write_bytes(data)
        shard = ShardFile(folder / "x.parquet")
        return shard.num_rows, shard.latents, shard.captions, shard.tokens

    return Parser([seed], parse, (ExpertError,))


def _commits() -> Parser:
    lines = [
        {"key": "header", "value": {"summary": "s", "parentCommit": "abcdef1"}},
        {"key": "file", "value": {"path": "a/b.txt", "content": "eA==", "encoding": "base64"}},
        {"key": "lfsFile", "value": {"path": "c.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}},
        {"key": "deletedFolder", "value": {"path": "old/"}},
    ]
    seed = b"\n".join(json.dumps(line).encode() for line in lines)
    return Parser([seed], lambda data, _: parse_commit(io.BytesIO(data), HubLimits()), (Refusal,))


def _lfs() -> Parser:
    objects = [{"oid": "0" * 64, "size": 5}]
    seeds = [
        {"operation": "upload", "objects": objects, "hash_algo": "sha256"},
        {"oid": "0" * 64, "parts": [{"partNumber": 1, "etag": "e"}]},
    ]

    def parse(data: bytes, _: Path) -> object:
        try:
            return _Batch.model_validate_json(data)
        except ValidationError:
            return _Completion.model_validate_json(data)

    return Parser([json.dumps(seed).encode() for seed in seeds], parse, (ValidationError,))


def _units() -> Parser:
    from units import make_unit

    seed = make_unit().model_dump_json(indent=1).encode()

    def parse(data: bytes, folder: Path) -> object:
        (folder / "unit.json").write_bytes(data)
        return UnitFolder(folder).load()

    return Parser([seed], parse, (RecordError,))


def _layouts() -> Parser:
    """One document as config.json of the release, of its expert and of its router."""
    shape = {"image_size": 8, "in_channels": 3, "patch_size": 4, "hidden_size": 32, "num_layers": 2, "num_heads": 2}
    kind = {
        "architecture": "dit",
        "use_adaln_single": True,
        "expert_id": 0,
        "use_latents": False,
        "use_dit_time_embed": True,
    }
    flags = {"use_text_conditioning": True, "use_class_conditioning": False, "out_channels": 3}
    one = {**shape, **kind, **flags, "text_embed_dim": 8, "num_experts": 1, "num_clusters": 1}
    text = {"kind": "vocabulary", "dim": 8, "max_tokens": 4}

    def parse(data: bytes, folder: Path) -> object:
        for name in (".", "expert_0", "router"):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "config.json").write_bytes(data)
        (folder / "expert_0" / EXPERT_FILE).touch()
        return read_layout(folder)

    return Parser([json.dumps({**one, "text": text}).encode(), json.dumps(one).encode()], parse, (ExpertError,))


def _ranges(data: bytes, _: Path) -> object:
    match = _RANGE.fullmatch(_text(data).strip())
    return None if match is None else [int(digits) for digits in match.groups() if digits]


def _addresses(data: bytes, _: Path) -> object:
    address = _text(data)
    usable([address], ["/ip4/8.8.8.8/tcp/1/p2p/x"])
    usable(["/ip4/127.0.0.1/tcp/1/p2p/x"], [address])
    return split_peer_address(address)


_ADDRESS = b"/ip4/203.0.113.7/tcp/31337/p2p/12D3KooWDD9CfZNQaVRiD8YEV53FBrdHiNVGSSkVNVmx9m2M9p1T"
_CANONICAL = [canonical_bytes({"a": [1, 2.5, None, True, "\u00fc"], "b": {"c": {}}})]
_DATES = [b"12", b"Thu, 01 Jan 1970 00:01:40 GMT"]

PARSERS: dict[str, Parser] = {
    "envelope": _envelopes(),
    "canonical JSON": Parser(_CANONICAL, lambda data, _: parse_json(data, max_bytes=4096), (RecordError,)),
    "shard request": _shard_requests(),
    "request of the line": _line_requests(),
    "reply of the line": _line_replies(),
    "safetensors header": _headers(),
    "shown safetensors header": _shown_headers(),
    "Markdown": _markdown(),
    "shard file": _shards(),
    "commit of the Hub": _commits(),
    "LFS requests": _lfs(),
    "range header": Parser([b"bytes=0-5", b"bytes=-7", b"bytes=3-"], _ranges, ()),
    "retry-after header": Parser(_DATES, lambda data, _: retry_after_s(_text(data), now=0.0), ()),
    "multiaddr": Parser(
        [_ADDRESS, b"/ip6/::1/tcp/1/p2p/x", b"/dns4/a.example/tcp/1/p2p/x"], _addresses, (AddressError,)
    ),
    "run.toml": Parser(
        [dump_config(load_recipe("emoji")).encode()],
        lambda data, _: parse_config(_text(data), "run.toml"),
        (ConfigError, NewerFileError),
    ),
    "config.json of a release": _layouts(),
    "unit.json": _units(),
}
