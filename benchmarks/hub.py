"""What the embedded Hub costs: `python -m benchmarks.hub [--only PART] [--out FILE]`.

One Hub as a process of its own, fresh for each figure:

- descriptors open after bursts of requests, with pauses in which its idle threads end;
- peak memory with 8 anonymous bodies of a commit in transit;
- processor seconds to receive 1 GB, in one piece and in parts, and of `cp` and `sha256sum` on the same bytes;
- size of the database and processor seconds of 1,000 commits that each add a file to one folder: in all, of the first
  hundred and of the last;
- processor seconds of a hundred commits to a folder of 20,000 files, and of a hundred listings of branches beside 5,000
  pull requests.

Writes benchmarks/results/hub.json; with `--only`, the figures of one part, into what the file has.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import http.client
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from paris.coordinator.hub import add_user
from paris.coordinator.report.facts import machine_facts
from paris.protocol.lifeline import child_environment

_TOKEN = "benchmark_token_benchmark"
_REPO = "lab/run"
_API = f"/api/models/{_REPO}"
_MIB = 1024**2
_BURSTS, _BURST_THREADS, _PAUSE_S = 6, 32, 11
_BODIES, _BODY_BYTES = 8, 60 * _MIB
_OBJECTS, _OBJECT_BYTES = 4, 250_000_000
_COMMITS = 1000
_LARGE_FOLDER = 20_000
_REFS = 5000


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "hub.json")
    parts = {"descriptors": _descriptors, "bodies": _anonymous_bodies, "uploads": _uploads, "commits": _commits}
    parser.add_argument("--only", choices=[*parts], help="one part alone")
    arguments = parser.parse_args()
    figures: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.only else {}
    figures.pop("machine", None)
    for name, measure in parts.items():
        if arguments.only in (None, name):
            figures |= measure()
            print(json.dumps(figures), flush=True)
    arguments.out.write_text(json.dumps({**figures, "machine": machine_facts()}, indent=1) + "\n")
    return 0


@dataclass(frozen=True)
class _Hub:
    port: int
    folder: Path
    process: psutil.Process

    def ask(self, method: str, path: str, body: bytes | memoryview = b"") -> tuple[int, dict[str, Any]]:
        """Status and JSON of one request with the owner's token, over its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Authorization": f"Bearer {_TOKEN}"})
            response = connection.getresponse()
            text = response.read()
        is_json = text and "json" in response.headers.get("content-type", "")
        return response.status, json.loads(text) if is_json else {}

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def peak_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextlib.contextmanager
def _hub(limits: dict[str, int] | None = None) -> Iterator[_Hub]:
    """A Hub in an empty folder, with the repository lab/run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "hub"
        add_user(folder, "lab", _TOKEN)
        command = [sys.executable, "-m", "paris.coordinator.hub", "--data", str(folder), "--open-registration"]
        command += ["--limits", json.dumps(limits or {})]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=child_environment()
        ) as process:
            assert process.stdout is not None
            url = process.stdout.readline().decode().split()[-1]
            hub = _Hub(urlsplit(url).port or 0, folder, psutil.Process(process.pid))
            hub.ask("POST", "/api/repos/create", json.dumps({"name": "run", "organization": "lab"}).encode())
            yield hub
            process.terminate()


def _descriptors() -> dict[str, Any]:
    """Open descriptors at first and after each burst."""
    with _hub() as hub:
        opened = [hub.process.num_fds()]
        for _ in range(_BURSTS):
            with ThreadPoolExecutor(_BURST_THREADS) as pool:
                list(pool.map(lambda _: hub.ask("GET", _API), range(_BURST_THREADS * 4)))
            time.sleep(_PAUSE_S)
            hub.ask("GET", _API)
            opened.append(hub.process.num_fds())
    return {"descriptors_after_bursts": opened}


def _anonymous_bodies() -> dict[str, Any]:
    """Peak memory above that of a Hub at rest, with commit bodies of callers without a token in transit."""
    with _hub() as hub:
        before = hub.peak_bytes()
        head = f"POST {_API}/commit/main HTTP/1.1\r\nHost: x\r\nContent-Length: {64 * _MIB}\r\n\r\n".encode()
        sockets = [socket.create_connection(("127.0.0.1", hub.port)) for _ in range(_BODIES)]

        def send(connection: socket.socket) -> None:
            # The Hub may answer and close at any byte.
            with contextlib.suppress(OSError):
                connection.sendall(head)
                for _ in range(_BODY_BYTES // _MIB):
                    connection.sendall(bytes(_MIB))

        with ThreadPoolExecutor(_BODIES) as pool:
            list(pool.map(send, sockets))
        time.sleep(1)
        peak = hub.peak_bytes() - before
        for connection in sockets:
            connection.close()
    return {"anonymous_bodies": _BODIES, "anonymous_bodies_peak_mib": round(peak / _MIB, 1)}


def _uploads() -> dict[str, Any]:
    """Processor seconds a GB: the Hub's, in one piece and in parts, and those of cp and sha256sum."""
    data = [os.urandom(1000) * (_OBJECT_BYTES // 1000) for _ in range(_OBJECTS)]
    gigabytes = _OBJECTS * _OBJECT_BYTES / 1e9
    figures: dict[str, Any] = {}
    for name, limits in (("one_piece", {}), ("parts", {"multipart_from_bytes": 128 * _MIB})):
        with _hub(limits) as hub:
            addresses = [_addresses(hub, item) for item in data]
            started_s, started_cpu_s = time.monotonic(), hub.cpu_s()
            for item, offer in zip(data, addresses, strict=True):
                _send(hub, item, offer)
            figures[f"upload_{name}_cpu_s_per_gb"] = round((hub.cpu_s() - started_cpu_s) / gigabytes, 2)
            figures[f"upload_{name}_wall_s_per_gb"] = round((time.monotonic() - started_s) / gigabytes, 2)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(number) for number in range(_OBJECTS)]
        for file, item in zip(files, data, strict=True):
            file.write_bytes(item)
        for name, command in (("cp", ["cp", "{}", "{}.copy"]), ("sha256sum", ["sha256sum", "{}"])):
            before = _children_cpu_s()
            for file in files:
                line = [word.format(file) for word in command]
                subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
            figures[f"{name}_cpu_s_per_gb"] = round((_children_cpu_s() - before) / gigabytes, 2)
    return figures


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _addresses(hub: _Hub, data: bytes) -> dict[str, Any]:
    """The upload action of the Hub's LFS batch for an object."""
    item = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    body = json.dumps({"operation": "upload", "objects": [item]}).encode()
    return dict(hub.ask("POST", f"/{_REPO}.git/info/lfs/objects/batch", body)[1]["objects"][0]["actions"]["upload"])


def _send(hub: _Hub, data: bytes, upload: dict[str, Any]) -> None:
    header = upload.get("header", {})
    if not header:
        assert hub.ask("PUT", _target(upload["href"]), data)[0] == 200
        return
    part_bytes = int(header["chunk_size"])
    numbers = sorted(int(key) for key in header if key.isdigit())
    for number in numbers:
        part = memoryview(data)[(number - 1) * part_bytes : number * part_bytes]
        assert hub.ask("PUT", _target(header[str(number)]), part)[0] == 200
    parts = [{"partNumber": number, "etag": "x"} for number in numbers]
    body = json.dumps({"oid": hashlib.sha256(data).hexdigest(), "parts": parts}).encode()
    assert hub.ask("POST", _target(upload["href"]), body)[0] == 200


def _target(href: str) -> str:
    address = urlsplit(href)
    return f"{address.path}?{address.query}"


def _commits() -> dict[str, Any]:
    """Database bytes and the Hub's processor seconds of many commits, one file each, in one folder."""
    with _hub() as hub:
        marks = [hub.cpu_s()]
        for number in range(_COMMITS):
            _commit(hub, [f"data/{number:05d}.txt"])
            if (number + 1) % 100 == 0:
                marks.append(hub.cpu_s())
        size = sum(file.stat().st_size for file in hub.folder.glob("hub.sqlite3"))
    figures = {
        "commits": _COMMITS,
        "commits_database_mb": round(size / 1e6, 2),
        "commits_cpu_s": round(marks[-1] - marks[0], 2),
        "first_hundred_commits_cpu_s": round(marks[1] - marks[0], 2),
        "last_hundred_commits_cpu_s": round(marks[-1] - marks[-2], 2),
    }
    return figures | _large_folder()


def _large_folder() -> dict[str, Any]:
    """Processor seconds of commits to a large folder, and of listing branches beside many refs."""
    with _hub() as hub:
        for start in range(0, _LARGE_FOLDER, 1000):
            _commit(hub, [f"data/{number:05d}.txt" for number in range(start, start + 1000)])
        before = hub.cpu_s()
        for number in range(100):
            _commit(hub, [f"data/new-{number}.txt"])
        in_large = hub.cpu_s() - before
        with contextlib.closing(sqlite3.connect(hub.folder / "hub.sqlite3")) as db, db:
            (oid,) = db.execute("SELECT oid FROM refs WHERE name = 'refs/heads/main'").fetchone()
            db.executemany("INSERT INTO refs VALUES (1, ?, ?)", [(f"refs/pr/{n}", oid) for n in range(1, _REFS + 1)])
        before = hub.cpu_s()
        for _ in range(100):
            assert hub.ask("GET", f"{_API}/refs")[0] == 200
        listing = hub.cpu_s() - before
    return {
        "large_folder_files": _LARGE_FOLDER,
        "hundred_commits_to_large_folder_cpu_s": round(in_large, 2),
        "pull_refs": _REFS,
        "hundred_listings_of_branches_cpu_s": round(listing, 2),
    }


def _commit(hub: _Hub, paths: list[str]) -> None:
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "add"}}]
    for path in paths:
        lines.append({"key": "file", "value": {"path": path, "content": base64.b64encode(path.encode()).decode()}})
    assert hub.ask("POST", f"{_API}/commit/main", "\n".join(json.dumps(line) for line in lines).encode())[0] == 200


if __name__ == "__main__":
    raise SystemExit(main())
