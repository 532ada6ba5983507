"""Sequences of a sealer only grow, regardless of the clock."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from protocol_samples import RUN_ID, VOLUNTEER, WANT

from paris.protocol.envelope import open_envelope
from paris.protocol.sealer import Sealer, SequenceFile


def test_sequences_grow_when_the_clock_goes_back():
    times = iter([1_000.0, 1_000.0, 400.0, 2_000.0])
    sealer = Sealer(VOLUNTEER, RUN_ID, lambda: next(times))
    sequences = [sealer.seal(WANT, 60.0).sequence for _ in range(4)]
    assert sequences == [1_000_000, 1_000_001, 1_000_002, 2_000_000]


def test_a_record_is_valid_from_now_for_its_life():
    envelope = Sealer(VOLUNTEER, RUN_ID, lambda: 1_000.0).seal(WANT, 60.0)
    opened = open_envelope(envelope.data, run_id=RUN_ID, coordinator=None, now=1_059.0)
    assert (opened.issued_at, opened.expires_at, opened.signer) == (1_000.0, 1_060.0, VOLUNTEER.public_key)
    assert opened.payload == WANT


def test_a_sealer_says_whose_it_is_and_begins_at_the_clock():
    sealer = Sealer(VOLUNTEER, RUN_ID, lambda: 0.0)
    assert sealer.public_key == VOLUNTEER.public_key
    assert [sealer.seal(WANT, 60.0).sequence for _ in range(2)] == [1, 2]


def test_threads_never_get_the_same_sequence():
    sealer = Sealer(VOLUNTEER, RUN_ID, lambda: 1_000.0)
    with ThreadPoolExecutor(8) as pool:
        sequences = list(pool.map(lambda _: sealer.seal(WANT, 60.0).sequence, range(200)))
    assert sorted(sequences) == list(range(1_000_000, 1_000_200))


def test_a_file_is_written_ahead_once_in_ten_minutes(tmp_path):
    path, now = tmp_path / "sequence", [1_000.0]
    sealer, written = Sealer(VOLUNTEER, RUN_ID, lambda: now[0], SequenceFile(path)), []
    for seconds in (0.0, 599.5, 1.0, 599.0):
        now[0] += seconds
        sealer.seal(WANT, 60.0)
        written.append(int(path.read_text()))
    assert written == [1_600_000, 1_600_000, 2_200_500, 2_200_500]
    assert SequenceFile(path).reserved == 2_200_500


def test_a_file_names_no_sequence_from_which_a_run_could_not_go_on(tmp_path):
    (tmp_path / "sequence").write_text(f"{2**53}")
    assert SequenceFile(tmp_path / "sequence").reserved == (2**53 - 1) // 2


def test_a_first_start_warns_of_nothing_and_a_damaged_file_is_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("paris"), "propagate", True)
    assert SequenceFile(tmp_path / "sequence").reserved == 0
    assert caplog.text == ""
    (tmp_path / "sequence").write_bytes(b"\xff")
    assert SequenceFile(tmp_path / "sequence").reserved == 0
    assert str(tmp_path / "sequence") in caplog.text
