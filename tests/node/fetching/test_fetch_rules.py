"""Downloads by a clock of the test: what peers may delay, what makes way, what is waited for, what counts as room."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import pytest

from paris.node.errors import DiskFullError, HubRefusedError, StoppedError, TransientHubError
from paris.node.fetching.background import BackgroundFetch
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.download import Downloader, MakeWayError
from paris.node.fetching.fetcher import Fetcher
from paris.node.fetching.peers import NoPeers, Outcome
from paris.node.fetching.queue import FetchQueue, Job
from paris.node.fetching.urgency import Urgency
from paris.node.hub.file import Wanted
from paris.node.retry import Backoff

DATA = bytes(range(200)) * 2


class Others(NoPeers):
    """Other volunteers that answer as the test says, the last answer for ever."""

    def __init__(self, downloader: Downloader, *answers: Outcome) -> None:
        self.downloader, self.answers = downloader, list(answers)
        self.left: list[float] = []
        self.fetched: list[str] = []
        self.is_finished = False

    def try_take(self, wanted: Wanted, on_bytes: Callable[[int], None], left_s: Callable[[], float]) -> Outcome:
        self.left.append(left_s())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "taken":
            part = self.downloader.cache.peer_part(wanted.sha256)
            part.write_bytes(DATA)
            on_bytes(len(DATA))
            self.downloader.cache.put(part, wanted.sha256)
        return answer

    @contextlib.contextmanager
    def fetching(self, sha256: str) -> Iterator[None]:
        self.fetched.append(sha256)
        yield

    def finish(self) -> None:
        self.is_finished = True


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def timed(downloader, now, waits) -> Downloader:
    """A downloader that lives by `now`, which its pauses move on."""

    def pause(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    downloader.clock, downloader.pause = lambda: now[0], pause
    return downloader


def ignore(job: Job, source: str) -> None:
    """Let a piece pass."""


def test_trouble_with_the_hub_is_told_once_in_half_a_minute_for_all_files_together(file_hub, timed, now):
    jobs, told = [Job(file_hub.add(name, DATA)) for name in ("a", "b", "c")], []
    timed.backoff, timed.on_retry = Backoff(first_s=8.0), lambda error, wait_s: told.append((error, wait_s))
    for job, after_s in zip(jobs, (0.0, 29.9, 30.0), strict=True):
        file_hub.faults[job.wanted.path] = [503]
        now[0] = 100.0 + after_s
        assert timed.attempt(job, ignore) is None
        assert job.not_before == now[0] + job.wait_s
    assert [wait_s for _, wait_s in told] == [jobs[0].wait_s, jobs[2].wait_s]
    assert all(isinstance(error, TransientHubError) and 4.0 <= wait_s <= 8.0 for error, wait_s in told)
    assert (jobs[0].failures, jobs[0].best_bytes) == (1, 0)


def test_a_try_that_brought_a_wrong_file_is_repeated_without_a_wait(file_hub, timed, waits):
    wanted = file_hub.add("a", DATA)
    file_hub.faults["a"] = ["wrong"]
    timed.fetch(wanted)
    assert waits == []


def test_an_answer_of_the_hub_ends_a_row_of_failures_even_if_the_file_is_wrong(file_hub, timed):
    job = Job(file_hub.add("a", DATA))
    file_hub.faults["a"] = [503, 503, "wrong"]
    for failures in (1, 2, 0):
        assert timed.attempt(job, ignore) is None
        assert job.failures == failures
    assert job.had_wrong_hash


def test_an_error_of_the_disk_other_than_a_full_one_keeps_its_name(file_hub, timed):
    wanted = file_hub.add("a", DATA)
    timed.cache.part(wanted.sha256).mkdir()
    with pytest.raises(OSError, match=str(timed.cache.part(wanted.sha256))) as caught:
        timed.attempt(Job(wanted), ignore)
    assert not isinstance(caught.value, DiskFullError)


def test_a_file_from_a_peer_is_counted_as_such_and_the_hub_is_not_asked(file_hub, timed, waits):
    timed.peers, timed.bandwidth = Others(timed, "taken"), Bandwidth(100, lambda: 0.0)
    path = timed.attempt(Job(file_hub.add("a", DATA)), ignore)
    assert path is not None
    assert path.read_bytes() == DATA
    assert (timed.bytes_from_peers, timed.bytes_from_hub, file_hub.requests) == (len(DATA), 0, [])
    assert waits == [len(DATA) / 100]


def test_peers_delay_a_file_until_patience_ends_and_then_the_hub_is_told_to_others_and_asked(file_hub, timed, now):
    others = timed.peers = Others(timed, "wait")
    job = Job(file_hub.add("a", DATA))
    assert timed.attempt(job, ignore) is None
    assert (job.wait_s, job.not_before, others.left) == (0.5, 100.5, [math.inf])
    job.hurry(now[0], 2.0)
    now[0] = 102.0
    assert timed.attempt(job, ignore) == timed.cache.file(job.wanted.sha256)
    assert (others.left[1:], others.fetched, job.wait_s) == ([0.0], [job.wanted.sha256], 0.0)
    assert timed.bytes_from_hub == len(DATA)


def test_a_download_that_makes_way_keeps_its_part(file_hub, timed):
    job = Job(file_hub.add("a", DATA))

    def make_way(job: Job, source: str) -> None:
        raise MakeWayError

    assert timed.attempt(job, make_way) is None
    assert timed.cache.part(job.wanted.sha256).read_bytes() == DATA
    assert job.wait_s == 0.0


def test_a_fetch_waits_for_its_next_file_and_half_a_second_at_most(file_hub, timed, waits):
    others = timed.peers = Others(timed, "wait", "wait", "hub")
    ready = []
    Fetcher(timed, parallel=1).fetch_all([file_hub.add("a", DATA)], lambda i, path: ready.append(i), lambda: None)
    assert waits == [0.5, 0.5, 0.125]
    assert ready == [0]
    assert others.left == [120.0, 119.5, 118.875], "without another word every file is needed soon"
    assert others.is_finished


def test_only_the_first_files_are_urgent_where_the_caller_says_how_many(file_hub, timed):
    others = timed.peers = Others(timed, "hub")
    files = [file_hub.add(name, DATA + name.encode()) for name in "ab"]
    Fetcher(timed, parallel=1, patience_s=7.0).fetch_all(files, lambda i, path: None, lambda: None, lambda: 1)
    assert others.left == [7.0, math.inf]


def test_a_fetch_that_was_stopped_lets_no_download_go_on_and_tells_the_others(file_hub, timed):
    others = timed.peers = Others(timed, "wait")
    fetcher, job = Fetcher(timed, parallel=1), Job(file_hub.add("a", DATA))
    fetcher._check_piece(job, "hub")

    def stop() -> None:
        raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        fetcher.fetch_all([job.wanted], lambda i, path: None, stop)
    assert others.is_finished
    with pytest.raises(StoppedError):
        fetcher._check_piece(job, "hub")


def test_a_download_from_a_peer_makes_way_for_an_urgent_file_without_a_place(file_hub, timed, now):
    queue = FetchQueue([file_hub.add(f"s{i}", DATA + bytes(i)) for i in range(5)], parallel=2)
    fetcher = Fetcher(timed, parallel=2)
    assert fetcher._due(queue, [4]) == [0]
    fetcher._check_piece(queue[4], "peer")
    queue.hurry(1, now[0], 5.0)
    assert fetcher._due(queue, [3]) == [0], "there is a place for it"
    fetcher._check_piece(queue[3], "peer")
    assert fetcher._due(queue, [3, 4]) == []
    with pytest.raises(MakeWayError):
        fetcher._check_piece(queue[3], "peer")
    fetcher._check_piece(queue[3], "hub")
    fetcher._check_piece(queue[0], "peer")


def test_four_files_come_at_a_time_unless_said_otherwise(timed):
    assert (Fetcher(timed).parallel, Fetcher(timed).patience_s) == (4, 120.0)


@pytest.mark.parametrize(
    ("limit_bytes", "part_bytes", "missing"), [(800, 0, 0), (799, 0, 1), (800, 100, 0), (799, 100, 1), (900, 500, 0)]
)
def test_room_is_made_for_the_bytes_that_are_not_here_yet(file_hub, timed, limit_bytes, part_bytes, missing):
    here, wanted = file_hub.add("a", DATA), file_hub.add("b", DATA[::-1])
    timed.fetch(here)
    if part_bytes:
        timed.cache.peer_part(wanted.sha256).write_bytes(bytes(part_bytes))
    timed.cache.limit_bytes = limit_bytes
    fetcher, ready = Fetcher(timed, parallel=1), []
    if missing:
        with pytest.raises(DiskFullError, match=f": {missing} bytes are missing"):
            fetcher.fetch_all([here, wanted], lambda i, path: None, lambda: None)
    else:
        fetcher.fetch_all([here, wanted], lambda i, path: ready.append(i), lambda: None)
        assert ready == [0, 1]


def test_an_error_of_a_fetch_in_the_background_is_raised_where_the_first_shard_is_waited_for(file_hub, timed):
    files, ready = [file_hub.add(name, DATA + name.encode()) for name in "ab"], []
    file_hub.faults["a"] = [404]
    fetch = BackgroundFetch(Fetcher(timed, parallel=1), files, Urgency([1, 1], 1, 1), ready.append)
    fetch.raise_error()
    assert not fetch.is_complete
    fetch.start()
    with pytest.raises(HubRefusedError):
        fetch.wait_first(lambda: None)
    with pytest.raises(HubRefusedError):
        fetch.raise_error()
    assert (ready, fetch.is_complete) == ([], False)


def test_a_cancelled_fetch_in_the_background_has_ended(file_hub, downloader):
    downloader.peers = Others(downloader, "wait")
    fetch = BackgroundFetch(Fetcher(downloader), [file_hub.add("a", DATA)], Urgency([1], 1, 1), lambda num: None)
    fetch.start()
    fetch.cancel()
    with pytest.raises(StoppedError):
        fetch.raise_error()
    with pytest.raises(StoppedError):
        fetch.wait_first(lambda: None)
