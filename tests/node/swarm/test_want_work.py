"""The proof of work is done once for a key and a run, and kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from units import RUN

from paris.node.errors import StoppedError
from paris.node.retry import StopSignal
from paris.node.swarm.want_work import find_work
from paris.protocol.want_work import work_bits

ADA, BEN = "ad" * 32, "be" * 32


@pytest.fixture
def find(tmp_path):
    """Finds work for a key as each start of the program does; the texts that the volunteer saw are in `shown`."""
    stop = StopSignal()

    def find(me: str, bits: int) -> str | None:
        view = SimpleNamespace(event=lambda kind, text: find.shown.append(text))
        return find_work(tmp_path / "runs" / RUN / "want-work", RUN, me, bits, view, stop)

    find.shown, find.stop = [], stop
    return find


def test_work_is_done_once_and_again_for_more_bits_or_another_key(find):
    assert find(ADA, 0) is None
    work = find(ADA, 6)
    assert work_bits(RUN, ADA, work) >= 6
    assert find(ADA, 6) == work
    assert len(find.shown) == 1, "the second start does nothing"
    assert "64 hashes" in find.shown[0]
    assert find(ADA, work_bits(RUN, ADA, work)) == work
    assert len(find.shown) == 1, "work of just as many bits is enough"
    more = find(ADA, work_bits(RUN, ADA, work) + 1)
    assert work_bits(RUN, ADA, more) > work_bits(RUN, ADA, work)
    assert work_bits(RUN, BEN, find(BEN, 6)) >= 6


@pytest.mark.parametrize("content", [b"", b"many", b"\xff" * 16, b"0" * 16])
def test_damaged_work_is_done_again(find, tmp_path, content):
    path = tmp_path / "runs" / RUN / "want-work"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    work = find(ADA, 12)
    assert work_bits(RUN, ADA, work) >= 12
    assert path.read_text("ascii") == f"{work}\n"


def test_a_volunteer_that_stops_is_not_kept_waiting(find):
    find.stop.set()
    with pytest.raises(StoppedError):
        find(ADA, 26)
