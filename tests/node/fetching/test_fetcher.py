from __future__ import annotations

import errno
import re
import threading

import pytest
from deadlines import DEADLINE_S

from paris.node.errors import (
    DiskFullError,
    HubRefusedError,
    HubUnreachableError,
    StoppedError,
    WrongHashError,
    explain,
)
from paris.node.fetching.background import BackgroundFetch
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.fetching.download import Downloader
from paris.node.fetching.fetcher import Fetcher
from paris.node.fetching.urgency import Urgency
from paris.node.hub.client import Hub, retry_after_s
from paris.node.retry import Backoff

MIB = 2**20


def random_bytes(seed: int, size: int = MIB) -> bytes:
    import random

    return random.Random(seed).randbytes(size)


def test_a_download_cut_in_the_middle_goes_on_from_where_it_was(file_hub, downloader, waits):
    wanted = file_hub.add("shards/a.parquet", random_bytes(1))
    file_hub.faults["shards/a.parquet"] = ["cut", "cut"]
    assert downloader.fetch(wanted).read_bytes() == file_hub.files["shards/a.parquet"]
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for _, r in file_hub.requests if r]
    assert len(file_hub.requests) == 3
    assert starts == sorted(starts)
    assert starts[0] >= MIB // 4
    assert len(waits) == 2


def test_a_part_from_an_earlier_life_is_gone_on_with(file_hub, downloader):
    wanted = file_hub.add("a", random_bytes(2))
    downloader.cache.part(wanted.sha256).write_bytes(file_hub.files["a"][:700_000])
    downloader.fetch(wanted)
    assert file_hub.requests == [("a", "bytes=700000-")]
    assert downloader.bytes_from_hub == MIB - 700_000


def test_a_server_without_ranges_is_read_from_the_start(file_hub, downloader):
    wanted = file_hub.add("a", random_bytes(3))
    downloader.cache.part(wanted.sha256).write_bytes(b"x" * 1000)
    file_hub.faults["a"] = ["no-range"]
    assert downloader.fetch(wanted).read_bytes() == file_hub.files["a"]


def test_a_wrong_hash_is_fetched_again_once_and_a_right_one_then_taken(file_hub, downloader):
    wanted = file_hub.add("a", random_bytes(4))
    file_hub.faults["a"] = ["wrong"]
    assert downloader.fetch(wanted).read_bytes() == file_hub.files["a"]
    assert len(file_hub.requests) == 2


def test_a_hash_wrong_twice_is_refused_and_nothing_stays_in_the_cache(file_hub, downloader):
    wanted = file_hub.add("shards/a.parquet", random_bytes(5))
    file_hub.faults["shards/a.parquet"] = ["wrong", "wrong"]
    with pytest.raises(WrongHashError, match=r"shards/a\.parquet of org/data arrived twice"):
        downloader.fetch(wanted)
    assert list(downloader.cache.path.iterdir()) == []


def test_an_endless_body_never_fills_the_disk(file_hub, downloader):
    wanted = file_hub.add("a", random_bytes(6, 1000))
    file_hub.files["a"] = random_bytes(6, 3 * MIB)
    on_disk = []

    class Watching(Bandwidth):
        """Looks at the folder whenever bytes have arrived."""

        def wait_s(self, num_bytes: int) -> float:
            on_disk.append(downloader.cache.num_bytes())
            return super().wait_s(num_bytes)

    downloader.bandwidth = Watching()
    with pytest.raises(WrongHashError):
        downloader.fetch(wanted)
    assert len(on_disk) > 0
    assert max(on_disk) <= 1001
    assert list(downloader.cache.path.iterdir()) == []


def test_a_busy_hub_is_waited_for_as_long_as_it_asks(file_hub, downloader, waits):
    wanted = file_hub.add("a", random_bytes(7, 1000))
    file_hub.faults["a"] = [503, 429, 500]
    downloader.fetch(wanted)
    assert len(waits) == 3
    assert waits[1] >= 7.0
    assert waits[0] < 2.0


def test_a_hub_that_stays_busy_ends_in_a_typed_error(file_hub, downloader, waits):
    wanted = file_hub.add("a", random_bytes(8, 1000))
    file_hub.faults["a"] = [503] * 10
    with pytest.raises(HubUnreachableError, match="4 tries without progress"):
        downloader.fetch(wanted)
    assert len(waits) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_never_tried_again(file_hub, downloader, waits, status):
    wanted = file_hub.add("a", b"x")
    file_hub.faults["a"] = [status]
    with pytest.raises(HubRefusedError, match=str(status)) as caught:
        downloader.fetch(wanted)
    assert waits == []
    assert caught.value.next_step


def test_a_hub_that_is_down_ends_in_a_typed_error(tmp_path, waits):
    import socket

    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        hub = Hub(f"http://127.0.0.1:{taken.getsockname()[1]}", None)
        downloader = Downloader(hub, Cache(tmp_path / "cache"), waits.append, max_tries=2)
        from paris.node.hub.file import Wanted

        with pytest.raises(HubUnreachableError, match="no answer"):
            downloader.fetch(Wanted("org/data", "1" * 40, "a", "0" * 64, 1))


def test_a_full_disk_is_said_and_the_part_is_kept(file_hub, downloader, file_size_limit):
    wanted = file_hub.add("shards/a.parquet", random_bytes(9))
    with file_size_limit(), pytest.raises(DiskFullError, match=r"disk is full while fetching shards/a\.parquet"):
        downloader.fetch(wanted)
    assert 0 < downloader.cache.part(wanted.sha256).stat().st_size <= 2**16


def test_many_files_come_several_at_once_and_are_all_reported(file_hub, fetcher):
    files = [file_hub.add(f"s{i}", random_bytes(i, 5000)) for i in range(8)]
    ready: dict[int, bytes] = {}
    fetcher.fetch_all(files, lambda i, path: ready.__setitem__(i, path.read_bytes()), lambda: None)
    assert ready == {i: file_hub.files[f"s{i}"] for i in range(8)}


def test_files_are_asked_for_in_the_order_in_which_training_needs_them(file_hub, downloader):
    """One at a time, since several at once overtake each other."""
    one_at_a_time = Fetcher(downloader, parallel=1)
    files = [file_hub.add(f"s{i}", random_bytes(i, 5000)) for i in range(5)]
    one_at_a_time.fetch_all(files, lambda i, path: None, lambda: None)
    assert [path for path, _ in file_hub.requests] == ["s0", "s1", "s2", "s3", "s4"]


def test_training_may_begin_when_the_first_shard_is_here_whatever_arrives_in_between(file_hub, downloader, fetcher):
    files = [file_hub.add(f"s{i}", random_bytes(i, 5000)) for i in range(5)]
    first, second = threading.Event(), threading.Event()
    file_hub.faults["s0"], file_hub.faults["s1"] = [first], [second]
    others, everything = threading.Event(), threading.Event()
    told = {3: others, 5: everything}
    fetch = BackgroundFetch(fetcher, files, Urgency([1] * 5, 1, 1), lambda num: told.get(num, threading.Event()).set())
    fetch.start()
    assert others.wait(DEADLINE_S)  # the later ones overtook the first two: that is not enough to begin with

    def first_comes() -> None:
        assert not downloader.cache.file(files[0].sha256).exists()
        first.set()

    fetch.wait_first(first_comes)
    assert downloader.cache.file(files[0].sha256).exists()
    assert not fetch.is_complete
    second.set()
    assert everything.wait(DEADLINE_S)
    assert fetch.is_complete
    fetch.cancel()
    fetch.raise_error()


def test_the_download_limit_counts_the_bytes_of_all_downloads_at_a_time(file_hub, downloader, fetcher):
    files = [file_hub.add(f"s{i}", random_bytes(i, 50_000)) for i in range(6)]
    downloader.bandwidth = Bandwidth(10_000, clock=lambda: 0.0)
    fetcher.fetch_all(files, lambda i, path: None, lambda: None)
    assert downloader.bandwidth.wait_s(0) == pytest.approx(300_000 / 10_000)


def test_what_is_cached_is_not_fetched_again_unless_it_rotted(file_hub, downloader):
    wanted = file_hub.add("a", random_bytes(10, 5000))
    path = downloader.fetch(wanted)
    downloader.fetch(wanted)
    assert len(file_hub.requests) == 1
    path.write_bytes(bytes(5000))
    assert downloader.fetch(wanted).read_bytes() == file_hub.files["a"]
    assert len(file_hub.requests) == 2


def test_a_stop_ends_the_fetch_and_keeps_the_parts(file_hub, downloader, fetcher):
    files = [file_hub.add(f"s{i}", random_bytes(i)) for i in range(2)]
    parts = [downloader.cache.part(wanted.sha256) for wanted in files]
    for name in ("s0", "s1"):
        file_hub.faults[name] = ["cut", *[503] * 1000]
    downloader.max_tries = 1000

    def stop() -> None:
        if all(part.exists() and part.stat().st_size for part in parts):
            raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        fetcher.fetch_all(files, lambda i, path: None, stop)
    for name, part in zip(("s0", "s1"), parts, strict=True):
        assert file_hub.files[name].startswith(part.read_bytes())
        assert part.stat().st_size > 0


def test_the_token_goes_to_the_hub_as_a_bearer(file_hub, downloader):
    downloader.fetch(file_hub.add("a", b"x"))
    assert file_hub.tokens == ["Bearer secret"]


def test_the_cache_keeps_its_limit_and_what_the_task_needs(file_hub, downloader, fetcher):
    import os

    downloader.cache.limit_bytes = 2500
    old, kept, new = (file_hub.add(name, random_bytes(ord(name), 1000)) for name in "okn")
    os.utime(downloader.fetch(old), (1, 1))
    downloader.fetch(kept)
    fetcher.fetch_all([kept, new], lambda i, path: None, lambda: None)
    assert not downloader.cache.file(old.sha256).exists()
    assert downloader.cache.num_bytes() == 2000
    with pytest.raises(DiskFullError, match="cache_limit_bytes"):
        downloader.cache.make_room(2000, {kept.sha256, new.sha256})


def test_a_cache_name_is_always_a_hash(tmp_path):
    with pytest.raises(ValueError, match="not a SHA-256"):
        Cache(tmp_path).file("../../etc/passwd")


def test_back_off_grows_to_its_cap_and_a_greedy_retry_after_is_capped():
    backoff = Backoff(first_s=1.0, cap_s=8.0, retry_after_cap_s=60.0)
    for n, whole in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (50, 8.0)]:
        assert whole / 2 <= backoff.wait_s(n) <= whole
    assert backoff.wait_s(1, retry_after_s=10**9) == 60.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12.0),
        (None, None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 100.0),
        ("-3", 0.0),
        ("1 Jan 99999999999999999999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header, seconds):
    assert retry_after_s(header, now=0.0) == seconds


def test_a_retry_after_of_a_year_of_many_digits_is_none():
    assert retry_after_s("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", now=0.0) is None


def test_a_full_disk_reads_the_same_wherever_it_shows():
    told = explain(OSError(errno.ENOSPC, "No space left on device", "/x"))
    assert "disk is full" in told.what
    assert "Free some space" in told.next_step
    assert (told.exit_code, told.error_code) == (DiskFullError.exit_code, DiskFullError.error_code)


@pytest.mark.parametrize("error", [TimeoutError(), OSError(), ConnectionResetError(), KeyError()], ids=repr)
def test_an_error_without_a_text_is_never_an_empty_sentence(error):
    told = explain(error)
    assert re.search(r"\w\.$", told.what), told.what
    assert told.next_step


def test_a_wait_that_was_too_long_asks_for_another_try():
    told = explain(TimeoutError())
    assert (told.what, told.exit_code) == ("There was no answer in time.", 1)
    assert "again" in told.next_step
    assert explain(TimeoutError("timed out")).what == "There was no answer in time (timed out)."
