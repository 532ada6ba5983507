"""What the page costs: `python -m benchmarks.page [--screenshots FOLDER [--only NAME ...]]`.

One page as a process of its own, on a made-up run of 256 experts and 5,000 volunteers:

- bytes of the first load of each page, with style sheet and script, compressed as browsers ask for it, and the server's
  time, by the wall clock and by its processor (in steps of 10 ms): first after a change of the state, and again;
- with 200 watchers of the board, at each of ten changes (a heartbeat of every leased task): bytes of the update, time
  until the last watcher has it, and the share of one processor core that the server takes.

Writes benchmarks/results/page.json and its table in docs/benchmarks.md. With --screenshots it takes pictures of the
page in Chromium instead; those of the documents by `--screenshots docs/pictures --only page-board page-public`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import psutil

from benchmarks.marked import replace_between
from benchmarks.page_pictures import take_pictures
from benchmarks.page_run import make_page_run
from paris.coordinator.report.facts import machine_facts
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.store import Store
from paris.protocol.lifeline import child_environment

_RESULTS = Path(__file__).parent / "results" / "page.json"
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- page figures: python -m benchmarks.page -->\n", "<!-- end of page figures -->\n"
_EXPERTS, _VOLUNTEERS, _WATCHERS, _CHANGES = 256, 5000, 200, 10
_REPEATS = 10
_EVERY_S, _QUIET_S, _PATIENCE_S = 2.0, 0.3, 60.0
_PAGES = ("", "volunteers", "verdicts", "events", "losses", "leaderboard", "skill", "at", "public")
_ASSETS = ("assets/page.css", "assets/page.js")


def main() -> int:
    """Measure, print, write; or take pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=_RESULTS, help="with another, the documents stay as they are")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="take pictures for this folder, no figures")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these pictures alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.screenshots is not None:
            run = make_page_run(Path(name) / "run", 12, 40, time.time())
            with _served(run) as page:
                take_pictures(page.url, arguments.screenshots, arguments.only)
            return 0
        run = make_page_run(Path(name) / "run", _EXPERTS, _VOLUNTEERS, time.time())
        with _served(run) as page:
            figures = {"experts": _EXPERTS, "volunteers": _VOLUNTEERS}
            figures |= {"first_load": _first_loads(page, run), "live": _live(page, run)}
    print(json.dumps(figures, indent=1), flush=True)
    arguments.out.write_text(json.dumps({**figures, "machine": machine_facts()}, indent=1) + "\n")
    if arguments.out == _RESULTS:
        replace_between(_DOCUMENT, _BEGIN, _table(figures), _END)
    return 0


def _table(figures: dict[str, Any]) -> str:
    """Markdown of the figures."""
    lines = [
        "| page | first load | server's time after a change (processor) | again (processor) |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in figures["first_load"].items():
        first = f"{row['after_a_change_ms']:.0f} ms ({row['after_a_change_cpu_ms']} ms)"
        again = f"{row['again_ms']:.0f} ms ({row['again_cpu_ms']} ms)"
        lines.append(f"| {name} | {row['bytes'] / 1000:.1f} kB | {first} | {again} |")
    live = figures["live"]
    update, memory = f"{live['update_bytes'] / 1000:.1f} kB", f"{live['server_memory_bytes'] / 1e6:.0f} MB"
    lines += [
        "",
        f"With {live['watchers']} watchers of the board and a change every {live['seconds_between_changes']:.0f} s",
        f"the server takes {live['share_of_a_core']:.1%} of a core and {memory}; an update is {update}, and the last",
        f"watcher has it after {live['seconds_until_the_last_has_it']:.1f} s.",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Page:
    url: str
    port: int
    process: psutil.Process

    def load(self, path: str) -> tuple[int, float]:
        """Bytes of the body as they travel, and seconds until they are here."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            started_at = time.perf_counter()
            connection.request("GET", f"/run/{path}".rstrip("/"), headers={"Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            size = len(answer.read())
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status}")
            return size, time.perf_counter() - started_at

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def _served(run: RunDir) -> Iterator[_Page]:
    command = [sys.executable, "-m", "paris.coordinator.page", "--run", str(run.path), "--run-id", run.run_id]
    command += ["--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=child_environment()
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().split()[-1]
        page = _Page(url, urlsplit(url).port or 0, psutil.Process(process.pid))
        try:
            page.load("public")  # what is imported at the first request
            yield page
        finally:
            process.terminate()


def _first_loads(page: _Page, run: RunDir) -> dict[str, Any]:
    assets = sum(page.load(name)[0] for name in _ASSETS)
    found = {}
    for name in _PAGES:
        _beat(run, 1)
        before_s = page.cpu_s()
        size, first_s = page.load(name)
        first_cpu_s, before_s = page.cpu_s() - before_s, page.cpu_s()
        again_s = statistics.median(page.load(name)[1] for _ in range(_REPEATS))
        found[name or "board"] = {
            "bytes": size + assets,
            "after_a_change_ms": round(1000 * first_s, 1),
            "after_a_change_cpu_ms": round(1000 * first_cpu_s),
            "again_ms": round(1000 * again_s, 1),
            "again_cpu_ms": round(1000 * (page.cpu_s() - before_s) / _REPEATS),
        }
    return found


def _beat(run: RunDir, steps: int) -> None:
    """A heartbeat of every leased task, as a service would save it."""
    store = Store(run.state_file)
    try:
        state = store.load()
        leases = {
            lease_id: held
            if held.heartbeat is None or state.tasks[held.lease.task_id].lease_id != lease_id
            else held.model_copy(
                update={
                    "heartbeat": held.heartbeat.model_copy(update={"step": held.heartbeat.step + steps}),
                    "heartbeat_at": time.time(),
                }
            )
            for lease_id, held in state.leases.items()
        }
        store.save(state, replace(state, leases=leases), [], time.time())
    finally:
        store.close()


def _live(page: _Page, run: RunDir) -> dict[str, Any]:
    """Ten changes, two seconds apart, before 200 watchers."""
    with _Watchers(page.port, _WATCHERS) as watchers:
        watchers.read(time.monotonic())
        sizes, delays = [], []
        spent_s, started_at = page.cpu_s(), time.monotonic()
        for number in range(_CHANGES):
            _beat(run, 1)
            size, delay_s = watchers.read(time.monotonic())
            sizes.append(size)
            delays.append(delay_s)
            time.sleep(max(0.0, started_at + (number + 1) * _EVERY_S - time.monotonic()))
        share = (page.cpu_s() - spent_s) / (time.monotonic() - started_at)
    return {
        "watchers": _WATCHERS,
        "changes": _CHANGES,
        "seconds_between_changes": _EVERY_S,
        "update_bytes": max(sizes),
        "seconds_until_the_last_has_it": round(statistics.median(delays), 3),
        "share_of_a_core": round(share, 3),
        "server_memory_bytes": page.process.memory_info().rss,
    }


class _Watchers:
    """Live boards, each on a connection of its own."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            connection.sendall(b"GET /run/stream?view=&seen=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            self._selector.register(connection, selectors.EVENT_READ)

    def read(self, since: float) -> tuple[int, float]:
        """Read until every watcher has got something and all are quiet.

        Returns:
            Bytes of the largest update, and seconds from `since` until the last byte.
        """
        sizes: dict[int, int] = {}
        last_at = since
        while len(sizes) < len(self._selector.get_map()) or time.monotonic() - last_at < _QUIET_S:
            for key, _ in self._selector.select(_QUIET_S):
                connection = cast(socket.socket, key.fileobj)
                sizes[key.fd] = sizes.get(key.fd, 0) + len(connection.recv(1 << 20))
                last_at = time.monotonic()
            if time.monotonic() - since > _PATIENCE_S:
                raise TimeoutError(f"{len(sizes)} watchers have got an update.")
        return max(sizes.values()), last_at - since

    def __enter__(self) -> _Watchers:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            cast(socket.socket, key.fileobj).close()
        self._selector.close()


if __name__ == "__main__":
    sys.exit(main())
