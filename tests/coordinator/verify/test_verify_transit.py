"""Bytes that something on the way changed: that is not the volunteer's fault, and no rung fails."""

from __future__ import annotations

import hashlib

import pytest
from hub_gate import Gate

from paris.coordinator.errors import HubError
from paris.coordinator.verify.envelope_rung import _fetch
from paris.coordinator.verify.hub_reads import HubReads, RemoteFile
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.protocol.run_records import SubmittedFile

WEIGHTS = b"weights of the volunteer"
SIGNED = hashlib.sha256(WEIGHTS).hexdigest()
PATH = "submissions/expert-0-1-aaaaaaaa/expert.safetensors"


@pytest.mark.parametrize(("listed", "expected"), [(SIGNED, HubError), (None, CheckFailed)])
def test_bytes_that_are_not_those_that_the_hub_lists_are_fetched_again_later(tmp_path, listed, expected):
    target, checks = tmp_path / "candidate", Checks()
    remote = RemoteFile(PATH, len(WEIGHTS), "0" * 40, listed)
    with Gate(None) as gate:
        gate.instead = lambda method, path: 200
        hub = HubReads(gate.url, None, "org/model")
        with pytest.raises(expected):
            _fetch(hub, remote, "1" * 40, SubmittedFile(path=PATH, sha256=SIGNED, bytes=len(WEIGHTS)), target, checks)
    assert bool(checks.made) == (expected is CheckFailed)
    assert list(tmp_path.iterdir()) == []


def test_a_page_in_place_of_a_file_is_named(tmp_path):
    with Gate(None) as gate:
        gate.instead, gate.body = lambda method, path: 200, b"<!doctype html><p>Log in"
        with pytest.raises(HubError, match="login page or proxy answered instead of the Hub"):
            HubReads(gate.url, None, "org/model").download(PATH, "1" * 40, tmp_path / "x", max_bytes=10_000)
    assert list(tmp_path.iterdir()) == []
