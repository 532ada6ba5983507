"""The output of a child is kept in bounded files, and its first and last words at hand."""

from __future__ import annotations

import io
import logging

import pytest
from deadlines import DEADLINE_S

from paris.protocol.child_output import ChildOutput


class Pipe(io.BytesIO):
    """Gives its pieces one by one, as a child writes them."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = list(pieces)

    def read1(self, size: int = -1) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def copied(path, *pieces: bytes, max_bytes: int = 10) -> ChildOutput:
    pipe = Pipe(*pieces)
    output = ChildOutput(pipe, path, max_bytes)
    output.wait(DEADLINE_S)
    assert pipe.closed
    return output


def test_all_output_is_in_the_file_while_it_fits_to_the_byte(tmp_path):
    copied(tmp_path / "a.log", b"12345", b"67890")
    assert (tmp_path / "a.log").read_bytes() == b"1234567890"
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


def test_a_full_file_is_put_aside_and_the_one_before_is_gone(tmp_path):
    copied(tmp_path / "a.log", b"11111", b"222222", b"3333", b"44444")
    assert (tmp_path / "a.log").read_bytes() == b"44444"
    assert (tmp_path / "a.log.1").read_bytes() == b"2222223333"
    copied(tmp_path / "a.log", b"5")
    assert (tmp_path / "a.log").read_bytes() == b"444445"


def test_the_first_64_kib_and_the_last_line_are_at_hand(tmp_path):
    output = copied(tmp_path / "a.log", b"a" * 65_535, b"bc", b"\nlast but one\n  the \xff end \n\n", max_bytes=10**6)
    assert output.beginning == "a" * 65_535 + "b"
    assert output.last_line == "the \ufffd end"
    assert len(copied(tmp_path / "b.log", b"x" * 5000).last_line) == 2000
    assert copied(tmp_path / "c.log").last_line == copied(tmp_path / "c.log", b" \n").last_line == ""


@pytest.mark.parametrize("num_pieces", [1, 3])
def test_a_file_that_cannot_be_written_is_said_once_and_the_words_stay_at_hand(tmp_path, caplog, num_pieces):
    with caplog.at_level(logging.WARNING):
        output = copied(tmp_path / "no" / "a.log", *[b"word\n"] * num_pieces)
    assert len(caplog.records) == 1
    assert "output is dropped" in caplog.text
    assert output.last_line == "word"


def test_each_time_that_a_file_cannot_be_written_is_said_after_it_could_be(tmp_path, caplog):
    class Failing(Pipe):
        def read1(self, size: int = -1) -> bytes:
            data = super().read1(size)
            path = tmp_path / "a"
            if data == b"now":
                path.mkdir()
            elif path.exists():
                (path / "a.log").unlink(missing_ok=True)
                path.rmdir()
            return data

    with caplog.at_level(logging.WARNING):
        ChildOutput(Failing(b"lost", b"now", b"lost", b"lost"), tmp_path / "a" / "a.log", 10).wait(DEADLINE_S)
    assert len(caplog.records) == 2
