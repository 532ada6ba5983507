"""The wall clock may jump: periods do not notice, sequences never go back, no record of the future blocks a place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hivemind.dht.routing import DHTID
from protocol_samples import HEARTBEAT, NOW, VOLUNTEER, WANT

from paris.protocol.clock import ClockWatch, SteadyClock, jump_in_words
from paris.protocol.dht.storage import RecordStorage
from paris.protocol.keys import dht_key, part_of, subkey_of
from paris.protocol.limits import MAX_CLOCK_SKEW_S
from paris.protocol.sealer import Sealer, SequenceFile
from paris.protocol.validator import Accepted, RecordJudge

RUN = "tiny-0123456789abcdef"


class Time:
    """A wall clock and a monotonic one, as the test sets them."""

    def __init__(self) -> None:
        self.wall_s, self.steady_s = NOW, 50.0

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def wall(self) -> float:
        return self.wall_s

    def steady(self) -> float:
        return self.steady_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.mark.parametrize(("jump_s", "word"), [(3600.0, "3600 s ahead"), (-3600.0, "3600 s back")])
def test_a_jump_is_noticed_once_named_and_moves_a_steady_clock_when_told(time, jump_s, word):
    watch, clock = ClockWatch(time.wall, time.steady), SteadyClock(time.wall, time.steady)
    time.pass_s(1000)
    assert watch.jump_s() == 0
    time.wall_s += jump_s
    assert watch.jump_s() == pytest.approx(jump_s)
    assert watch.jump_s() == 0
    assert clock() == NOW + 1000
    assert clock.lag_s() == pytest.approx(jump_s)
    clock.move(clock.lag_s())
    assert (clock(), clock.lag_s()) == (pytest.approx(time.wall_s), 0.0)
    assert word in jump_in_words(jump_s)


@pytest.mark.parametrize("jump_s", [MAX_CLOCK_SKEW_S, -MAX_CLOCK_SKEW_S])
def test_a_difference_that_peers_allow_is_no_jump_and_no_lag(jump_s):
    """On clocks whose sums are exact."""
    wall_s = [0.0]
    watch, clock = ClockWatch(lambda: wall_s[0], lambda: 0.0), SteadyClock(lambda: wall_s[0], lambda: 0.0)
    wall_s[0] = jump_s
    assert (watch.jump_s(), clock.lag_s()) == (0.0, 0.0)
    wall_s[0] += jump_s / 2
    assert clock.lag_s() == 1.5 * jump_s


@pytest.mark.parametrize(("jump_s", "says"), [(0.6, "1 s ahead (it was set, or"), (-0.6, "1 s back (it was set);")])
def test_a_machine_that_slept_is_a_reason_for_a_jump_ahead_alone(jump_s, says):
    assert says in jump_in_words(jump_s)


def test_a_clock_that_is_slowly_corrected_is_no_jump(time):
    watch = ClockWatch(time.wall, time.steady)
    for _ in range(100):
        time.pass_s(60)
        time.wall_s += 0.06
        assert watch.jump_s() == 0


def test_a_steady_clock_is_never_further_from_the_wall_clock_than_peers_allow(time):
    clock, furthest_s = SteadyClock(time.wall, time.steady), 0.0
    for _ in range(100):
        time.pass_s(60)
        time.wall_s -= 0.06
        clock.move(clock.lag_s())
        furthest_s = max(furthest_s, abs(time.wall_s - clock()))
    assert 0 < furthest_s <= MAX_CLOCK_SKEW_S


def test_sequences_grow_over_a_restart_after_the_clock_was_set_back(tmp_path, time):
    path = tmp_path / "home" / "sequence"
    time.wall_s += 3600
    before = Sealer(VOLUNTEER, RUN, time.wall, SequenceFile(path))
    last = [before.seal(HEARTBEAT, 60).sequence for _ in range(3)][-1]
    time.wall_s -= 3600
    after = Sealer(VOLUNTEER, RUN, time.wall, SequenceFile(path))
    assert after.seal(HEARTBEAT, 60).sequence > last
    time.pass_s(1e6)
    assert after.seal(HEARTBEAT, 60).sequence == int(time.wall_s * 1000), "it follows the clock again"


@pytest.mark.parametrize("content", ["", "\x00\x00", "many", "-5", "9" * 40])
def test_a_damaged_sequence_file_stops_nothing(tmp_path, time, content):
    path = tmp_path / "sequence"
    path.write_text(content)
    sealer = Sealer(VOLUNTEER, RUN, time.wall, SequenceFile(path))
    first, second = sealer.seal(HEARTBEAT, 60), sealer.seal(HEARTBEAT, 60)
    assert int(NOW * 1000) <= first.sequence < second.sequence < 2**53


def test_a_sequence_file_that_cannot_be_written_stops_nothing(tmp_path, time):
    (tmp_path / "file").write_text("")
    sealer = Sealer(VOLUNTEER, RUN, time.wall, SequenceFile(tmp_path / "file" / "sequence"))
    assert sealer.seal(HEARTBEAT, 60).sequence > 0
    assert Path(tmp_path / "file").read_text() == ""


def test_records_published_while_the_clock_was_ahead_block_none_after_it(time):
    """The node's own judge and storage hold the record of the future; the next one is right and must replace it."""
    key = dht_key(RUN, WANT.kind, part_of(WANT, VOLUNTEER.public_key, 1))
    judge, storage = RecordJudge(RUN, None, time.wall), RecordStorage(time.wall, time.steady)
    sealer, key_id = Sealer(VOLUNTEER, RUN, time.wall), DHTID.generate(source=key)

    def publish() -> bool:
        envelope = sealer.seal(WANT, 60)
        place = subkey_of(WANT, envelope.signer)
        verdict = judge.judge(key, place, envelope.data, envelope.expires_at)
        is_stored = storage.store(key_id, envelope.data, envelope.expires_at, subkey=place)
        return isinstance(verdict, Accepted) and is_stored

    time.wall_s += 3600
    assert publish()
    time.pass_s(15)
    time.wall_s -= 3600
    assert publish()
    time.pass_s(1)
    assert publish()
