"""Whose mailboxes count: one of each key, whatever others copy, and how many wait to be closed."""

from __future__ import annotations

import time

import pytest
from hub_way_world import COORDINATOR, RUN_ID, SPEC, lease_of

from paris.coordinator.run_hub.mailboxes import Mailbox
from paris.coordinator.service import mailboxes
from paris.coordinator.service.mailboxes import Mailboxes
from paris.protocol.record_file import pack_records
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.validator import RecordJudge
from paris.protocol.work_records import Heartbeat


class Pulls:
    """Pull requests, as `HubMailboxes` tells them."""

    def __init__(self) -> None:
        self.files: dict[int, list[bytes]] = {}
        """All that was committed to each."""
        self.keys: dict[int, str] = {}
        self.closed: dict[int, str] = {}

    def open(self, key: str, data: bytes) -> int:
        number = len(self.keys) + 1
        self.keys[number], self.files[number] = key, [data]
        return number

    def found(self, at_most: int) -> list[Mailbox]:
        numbers = sorted(self.keys.keys() - self.closed.keys(), reverse=True)
        return [Mailbox(number, self.keys[number]) for number in numbers[:at_most]]

    def heads(self) -> dict[int, str]:
        return {number: f"{number} {len(files) - 1}" for number, files in self.files.items()}

    def read(self, path: str, revision: str, max_bytes: int) -> bytes:
        number, commit = map(int, revision.split())
        return self.files[number][commit]

    def close(self, number: int, why: str) -> None:
        self.closed[number] = why


class Ada:
    """A volunteer with a lease."""

    def __init__(self) -> None:
        self.key, self._sealer = (identity := Identity.generate()).public_key, Sealer(identity, RUN_ID)
        self.identity = identity
        self._lease = Sealer(COORDINATOR, RUN_ID).seal(lease_of(self), 900.0)

    def beat(self, step: int) -> bytes:
        """A mailbox's file with a heartbeat."""
        ids = {"lease_id": self._lease.payload.lease_id, "task_id": "expert-0", "attempt": 1}
        beat = Heartbeat(**ids, state="training", step=step, lease=self._lease.data.decode())
        return pack_records([self._sealer.seal(beat, 120.0 + step).data])


@pytest.fixture
def pulls():
    return Pulls()


@pytest.fixture
def read(pulls):
    return Mailboxes(pulls, RecordJudge(RUN_ID, COORDINATOR.public_key), RUN_ID, SPEC.num_buckets, time.time)


def steps(read: Mailboxes) -> list[int]:
    return [envelope.payload.step for envelope in read.records(("heartbeat",))]


def test_copies_of_a_volunteers_mailbox_take_no_place_and_are_closed(pulls, read):
    ada = Ada()
    file = ada.beat(1)
    own = pulls.open(ada.key, file)
    read.look()
    copies = [pulls.open(ada.key, file) for _ in range(5)]
    read.look()
    assert (len(read._boxes), steps(read)) == (1, [1])
    assert sorted(pulls.closed) == copies
    pulls.files[own].append(ada.beat(2))
    read.look()
    assert steps(read) == [2]


def test_a_later_mailbox_of_a_volunteer_takes_the_place_of_its_first(pulls, read, monkeypatch):
    monkeypatch.setattr(mailboxes, "MAX_MAILBOXES", 1)
    ada = Ada()
    first = pulls.open(ada.key, ada.beat(1))
    read.look()
    second = pulls.open(ada.key, ada.beat(2))
    read.look()
    assert (list(read._boxes), steps(read), list(pulls.closed)) == ([second], [2], [first])


def test_who_copies_what_was_just_committed_takes_no_place_before_it_was_read(pulls, read, monkeypatch):
    monkeypatch.setattr(mailboxes, "_MOST_READ", 1)
    ada, bob = Ada(), Ada()
    numbers = []
    for volunteer in (bob, ada):
        numbers.append(pulls.open(volunteer.key, volunteer.beat(1)))
        read.look()
    for number, volunteer in zip(numbers, (bob, ada), strict=True):
        pulls.files[number].append(volunteer.beat(2))
    copy = pulls.open(ada.key, pulls.files[numbers[1]][-1])
    read.look()
    assert sorted(steps(read)) == [1, 2], "of the two that have changed one was read"
    assert list(read._boxes) == numbers
    for _ in range(2):
        read.look()
    assert (sorted(steps(read)), list(read._boxes), list(pulls.closed)) == ([2, 2], numbers, [copy])


def test_what_waits_to_be_closed_is_bounded(pulls, read, monkeypatch):
    monkeypatch.setattr(mailboxes, "_MOST_TO_CLOSE", 10)
    for _ in range(3):
        for _ in range(16):
            pulls.open(Identity.generate().public_key, b"nothing")
        read.look()
        assert len(read._to_close) <= 10
    assert set(pulls.closed.values()) == {mailboxes._NOT_ADMITTED}
