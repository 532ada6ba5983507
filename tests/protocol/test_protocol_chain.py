"""chain.json from strangers: read back as written, refused in any other form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paris.protocol.chain import MAX_CHAIN_BYTES, MAX_LINKS, Chain, ChainStart, Link, LinkFiles, parse_chain
from paris.protocol.errors import RecordError


def sha(number: int) -> str:
    return f"{number:064x}"


def link(step: int) -> Link:
    files = LinkFiles(weights=sha(step), ema=sha(step + 1), optimizer=sha(step + 2))
    return Link(step=step, files=files, commitment=sha(step + 3))


def chain(*steps: int, start: int = 500) -> Chain:
    return Chain(task=sha(9), start=ChainStart(step=start, commitment=sha(8)), links=tuple(map(link, steps)))


def raw(*steps: int) -> dict[str, Any]:
    return json.loads(chain(*steps).to_bytes())


def test_a_chain_is_read_back_as_it_was_written():
    assert parse_chain(chain(750, 1000).to_bytes()) == chain(750, 1000)


def test_the_longest_chain_fits_into_the_bound():
    steps = range(10**9 - MAX_LINKS, 10**9)
    longest = chain(*steps).to_bytes()
    assert len(longest) <= MAX_CHAIN_BYTES
    assert len(parse_chain(longest).links) == MAX_LINKS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"links": []}, "links"),
        ({"links": raw(750)["links"] * 2}, "step 750 follows step 750"),
        ({"links": raw(750)["links"], "start": {"step": 750, "commitment": sha(8)}}, "step 750 follows step 750"),
        ({"links": [{**raw(750)["links"][0], "files": {"weights": sha(1)}}]}, "files.ema"),
        ({"links": [{**raw(750)["links"][0], "step": "750"}]}, "links.0.step"),
        ({"task": "../task"}, "task"),
        ({"format": 2}, "format"),
        ({"more": 1}, "more"),
        ({"start": {"step": -1, "commitment": sha(8)}}, "start.step"),
    ],
)
def test_what_is_no_chain_is_refused_with_its_place(change: dict[str, Any], says: str):
    with pytest.raises(RecordError, match=says):
        parse_chain(json.dumps({**raw(750, 1000), **change}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff", b" " * (MAX_CHAIN_BYTES + 1)])
def test_bytes_that_are_no_chain_are_refused(data: bytes):
    with pytest.raises(RecordError):
        parse_chain(data)
