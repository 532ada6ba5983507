"""Attacks with files: swapped, oversized, executable, or made to break the reader."""

from __future__ import annotations

import hashlib
import json
import pickle

from attack import Attack, changed, raw_weights
from verify_attempt import Attempt

from paris.protocol.run_records import SubmittedFile


def overlapping(raw: bytes) -> bytes:
    """Two tensors of one shape that share their bytes; the second one's own lie unused."""
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["layers.1.mlp.0.bias"]["data_offsets"] = header["layers.0.mlp.0.bias"]["data_offsets"]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    return len(text).to_bytes(8, "little") + text + raw[8 + length :]


def half_a_character(raw: bytes) -> bytes:
    """Metadata that Python's JSON accepts and the safetensors library, which a release reads with, does not."""
    length = int.from_bytes(raw[:8], "little")
    header = b'{"__metadata__":{"x":"\\ud800"},' + raw[9 : 8 + length]
    return len(header).to_bytes(8, "little") + header + raw[8 + length :]


def not_json(raw: bytes) -> bytes:
    length = int.from_bytes(raw[:8], "little")
    return raw[:8] + b"]" * length + raw[8 + length :]


def file_of(attempt: Attempt, **changes) -> dict:
    fields = {"path": f"{attempt.place}/expert.safetensors", "sha256": hashlib.sha256(attempt.weights).hexdigest()}
    return {"files": (SubmittedFile(**{**fields, "bytes": len(attempt.weights), **changes}),)}


ON_FILES = (
    Attack(
        "swapped after signing",
        "Pushes another file once the commit is signed",
        "envelope/head",
        changed(pushed_later=lambda a: a.world.train(1).weights),
    ),
    Attack(
        "swapped before signing",
        "Uploads another file than the one signed",
        "envelope/hub-digest",
        changed(weights_on_hub=lambda a: a.world.train(1).weights),
    ),
    Attack(
        "smaller than the Hub's",
        "Declares a byte less than it uploads",
        "envelope/hub-size",
        changed(facts=lambda a: file_of(a, bytes=len(a.weights) - 1)),
    ),
    Attack(
        "oversize",
        "Uploads a file of twice the size",
        "envelope/declared-size",
        raw_weights(lambda raw: raw + bytes(len(raw))),
    ),
    Attack(
        "oversize on the Hub",
        "Uploads more bytes than it declares",
        "envelope/hub-size",
        changed(weights_on_hub=lambda a: a.weights + bytes(9)),
    ),
    Attack(
        "pickle by name",
        "Declares a pickle",
        "envelope/declared-files",
        changed(facts=lambda a: file_of(a, path=f"{a.place}/expert.bin")),
    ),
    Attack(
        "path outside",
        "Declares a file outside its folder",
        "envelope/declared-files",
        changed(facts=lambda a: file_of(a, path="experts/expert.safetensors")),
    ),
    Attack(
        "extra file",
        "Adds a script beside the weights",
        "envelope/extra-files",
        changed(files=lambda a: {f"{a.place}/hook.py": b"import os\n"}),
    ),
    Attack(
        "changes a file of the run",
        "Changes a file of the repo in the same pull request",
        "envelope/foreign-changes",
        changed(files={"notes.txt": b"Mine.\n"}),
    ),
    Attack(
        "plants code",
        "Adds model code to the repo",
        "envelope/foreign-changes",
        changed(files={"modeling.py": b"import os\n"}),
    ),
    Attack(
        "no record inside",
        "Leaves submission.json out",
        "envelope/missing-files",
        changed(leave_out=lambda a: (f"{a.place}/submission.json",)),
    ),
    Attack(
        "inflated record",
        "Uploads a submission.json of 20 kB",
        "envelope/record-size",
        changed(files=lambda a: {f"{a.place}/submission.json": b" " * 20000}),
    ),
    Attack("header that is no JSON", "Fills the header with brackets", "structure/header-json", raw_weights(not_json)),
    Attack(
        "pickle in disguise",
        "Names a pickle expert.safetensors",
        "structure/header-size",
        raw_weights(lambda raw: pickle.dumps({"w": 1})),
    ),
    Attack(
        "header bomb",
        "Announces a header of a terabyte",
        "structure/header-size",
        raw_weights(lambda raw: (2**40).to_bytes(8, "little") + raw[8:]),
    ),
    Attack("overlapping offsets", "Lets two tensors share bytes", "structure/header-tiling", raw_weights(overlapping)),
    Attack(
        "bytes behind",
        "Appends a script to the tensors",
        "structure/header-end",
        raw_weights(lambda raw: raw + b"#!/bin/sh"),
    ),
    Attack(
        "metadata that only Python reads",
        "Puts half a character into the metadata",
        "structure/header-json",
        raw_weights(half_a_character),
    ),
)
