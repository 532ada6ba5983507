"""Which file is tried next, and when: the order, the waits and the patience of a fetch."""

from __future__ import annotations

import math

import pytest

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.queue import FetchQueue, Job
from paris.node.hub.file import Wanted


def wanted(number: int) -> Wanted:
    return Wanted("org/data", "1" * 40, f"s{number}", f"{number:064x}", 100)


def queue_of(count: int, parallel: int = 1) -> FetchQueue:
    return FetchQueue([wanted(number) for number in range(count)], parallel)


def unheard(sha256: str) -> None:
    pytest.fail("lost patience")


def test_four_files_ahead_are_tried_for_each_parallel_download():
    assert queue_of(20).due(0.0, (), ()) == [0, 1, 2, 3]
    assert queue_of(20, parallel=2).due(0.0, (), ()) == list(range(8))


def test_a_file_that_is_done_lets_the_next_one_in():
    queue = queue_of(6)
    queue.remove(1)
    assert len(queue) == 5
    assert queue.due(0.0, (), ()) == [0, 2, 3, 4]


def test_what_is_being_tried_or_must_wait_is_not_due():
    queue = queue_of(4)
    queue[2].not_before = 10.0
    assert queue.due(9.9, {0}, ()) == [1, 3]
    assert queue.due(10.0, {0}, ()) == [1, 2, 3]


def test_urgent_files_come_first_then_those_that_others_wait_for_then_the_rest():
    queue = queue_of(10)
    queue.remove(0)
    queue.hurry(3, now=0.0, patience_s=5.0)
    assert queue.due(0.0, (), {wanted(9).sha256, wanted(4).sha256}) == [1, 2, 4, 9, 3]


def test_a_hurried_file_keeps_the_time_that_it_was_given_first():
    queue = queue_of(3)
    queue[0].not_before = 100.0
    queue.hurry(1, now=10.0, patience_s=5.0)
    assert (queue[0].until, queue[0].patience_s, queue[0].not_before) == (15.0, 5.0, 10.0)
    queue.hurry(2, now=20.0, patience_s=7.0)
    assert (queue[0].until, queue[1].until, queue[2].until) == (15.0, 27.0, math.inf)
    assert queue[1].not_before == -math.inf
    assert queue.is_any_urgent([1, 2])
    assert not queue.is_any_urgent([2])


def test_the_next_time_is_that_of_the_files_ahead_alone():
    queue = queue_of(6)
    for index in range(6):
        queue[index].not_before = 100.0 - index
    assert queue.next_at() == 97.0


def test_peers_are_asked_again_after_longer_and_longer_up_to_ten_seconds():
    job = Job(wanted(0))
    waits = []
    for now in (0.0, 2.0, 20.0, 38.0, 500.0):
        assert job.wait_for_peers(now, unheard) == "wait"
        waits.append(job.wait_s)
    assert waits == [0.5, 1.0, 5.5, 10.0, 10.0]


def test_a_wait_ends_when_patience_does_and_then_the_hub_is_used():
    job = Job(wanted(0))
    job.hurry(now=0.0, patience_s=5.0)
    assert job.wait_for_peers(4.8, unheard) == "wait"
    assert job.wait_s == pytest.approx(0.2)
    assert job.wait_for_peers(5.0, unheard) == "hub"


def test_a_promise_holds_for_ten_minutes_and_then_begins_again():
    job, lost = Job(wanted(3)), []
    job.wait_for_peers(100.0, lost.append)
    assert job.wait_for_peers(699.9, lost.append) == "wait"
    assert lost == []
    assert job.wait_for_peers(700.0, lost.append) == "wait"
    assert lost == [wanted(3).sha256]
    assert job.waits_since is None
    job.wait_for_peers(701.0, lost.append)
    assert job.wait_s == 0.5
    assert len(lost) == 1


def test_failures_count_in_a_row_and_a_new_byte_begins_the_row_again():
    job, counts = Job(wanted(0)), []
    for num_bytes in (0, 0, 10, 10, 5, 10, 11):
        job.count_failure(num_bytes)
        counts.append(job.failures)
    assert counts == [1, 2, 1, 2, 3, 4, 1]
    assert job.best_bytes == 11


@pytest.mark.parametrize(("failures", "until"), [(1, 5.0), (2, 5.0), (3, 107.0), (4, 5.0), (6, 107.0)])
def test_every_third_failure_gives_peers_the_whole_patience_again(failures, until):
    job = Job(wanted(0))
    job.hurry(now=0.0, patience_s=5.0)
    job.failures = failures
    job.wait_for_hub(2.0, now=100.0)
    assert (job.until, job.wait_s) == (until, 2.0)


def test_a_file_that_is_not_urgent_stays_so_after_failures():
    job = Job(wanted(0), failures=3)
    job.wait_for_hub(2.0, now=100.0)
    assert job.until == math.inf
    assert not job.is_urgent


def test_a_bucket_starts_empty_and_saves_one_second_at_most():
    now = [100.0]
    limit = Bandwidth(1000, lambda: now[0])
    assert limit.wait_s(500) == 0.5
    now[0] = 101.0
    assert limit.wait_s(600) == pytest.approx(0.1)
    now[0] = 200.0
    assert limit.wait_s(1000) == 0.0
    assert limit.wait_s(1) == pytest.approx(0.001)


def test_without_a_limit_nothing_waits_and_a_piece_is_as_large_as_it_may_be():
    assert Bandwidth().wait_s(10**12) == 0.0
    assert Bandwidth().piece_bytes(10**6) == 10**6


@pytest.mark.parametrize(("limit", "piece"), [(10**9, 10**6), (5000, 5000), (0, 1)])
def test_a_piece_is_at_most_a_seconds_worth(limit, piece):
    assert Bandwidth(limit).piece_bytes(10**6) == piece


def test_a_fresh_file_has_tried_nothing_and_may_be_tried_at_once():
    job = Job(wanted(0))
    assert (job.failures, job.best_bytes, job.had_wrong_hash, job.wait_s) == (0, -1, False, 0.0)
    assert job.not_before < 0
