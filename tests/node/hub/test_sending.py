"""How far an upload is: over several files, threads and tries."""

from __future__ import annotations

from paris.node.hub.sending import Sending


class Counted:
    """A Sending with a clock of its own, and what it told."""

    def __init__(self) -> None:
        self.now, self.told = 100.0, []
        self.sending = Sending(lambda out, speed: self.told.append((out, speed)), lambda: self.now)

    def read(self, path: str, *positions: int, each_s: float = 1.0) -> None:
        for position in positions:
            self.now += each_s
            self.sending.reached(path, position)


def test_all_files_together_are_told_every_two_seconds_with_the_speed_of_late():
    counted = Counted()
    counted.sending.begin({"weights": 8000, "optimizer": 4000})
    counted.read("weights", 1000, 3000)
    counted.read("optimizer", 2000, 4000)
    assert counted.told == [(3000, 1500.0), (7000, 2000.0)]


def test_a_later_try_begins_with_the_files_that_went_out_whole():
    counted, sizes = Counted(), {"weights": 8000, "optimizer": 4000}
    counted.sending.begin(sizes)
    counted.read("optimizer", 4000, each_s=0.1)
    counted.read("weights", 5000, each_s=0.1)
    assert counted.told == []
    counted.now += 60
    counted.sending.begin(sizes)
    assert counted.told == [(4000, 0.0)]
    counted.read("weights", 1000, 8000)
    assert counted.told[1:] == [(12000, 4000.0)]


def test_the_sample_that_the_client_looks_at_is_not_taken_for_a_new_start():
    counted, sizes = Counted(), {"optimizer": 4000}
    counted.sending.begin(sizes)
    counted.read("optimizer", 4000)
    counted.sending.begin(sizes)
    counted.read("optimizer", 512, 512, 512)
    assert counted.told == [(4000, 0.0)]
    counted.read("optimizer", 1000, 2000)
    assert counted.told[1:] == [(1000, 0.0)], "the Hub has lost it: it goes out again"
