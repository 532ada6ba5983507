"""A Hub that is killed in the middle, and the stock client that goes on when it is back."""

import contextlib
import hashlib
import http.client
import itertools
import subprocess
import sys
import threading
import time

import pytest
from deadlines import DEADLINE_S
from hub_process import SMALL_PARTS, HubProcess, Wire, client_environment, small_file

UPLOADER = """
import io, os, sys
import huggingface_hub as hf

class Halting(io.BytesIO):
    # The first pass hashes the bytes; the second, which sends them, halts in the middle until it is told to go on.
    num_read = 0
    def read(self, *args):
        chunk = super().read(*args)
        before, self.num_read = self.num_read, self.num_read + len(chunk)
        if before < 1.5 * SIZE <= self.num_read:
            print("halfway", flush=True)
            sys.stdin.readline()
        return chunk

SIZE = int(sys.argv[1])
api = hf.HfApi(token=os.environ["OWNER_TOKEN"])
api.create_repo("lab/cut")
api.upload_file(repo_id="lab/cut", path_or_fileobj=Halting(bytes(SIZE)), path_in_repo="weights.bin")
"""


def wait_until(holds, deadline_s=10.0):
    ends_at = time.monotonic() + deadline_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < ends_at, "it did not happen in time"
        pause.wait(0.01)


@pytest.mark.parametrize(("size", "left_in"), [(1_900_000, "incoming"), (3_500_000, "parts")])
def test_an_upload_cut_by_a_killed_server_is_finished_by_the_clients_own_retry(tmp_path, size, left_in):
    data_dir = tmp_path / "hub"
    hub = HubProcess(data_dir, limits=SMALL_PARTS)
    uploader = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, str(size)],
        env=client_environment(hub.url, tmp_path / "home"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert uploader.stdout.readline() == b"halfway\n"
    wait_until(lambda: any(file.stat().st_size > 0 for file in (data_dir / left_in).iterdir()))
    hub.kill()
    assert len(list((data_dir / left_in).iterdir())) == 1
    hub = HubProcess(data_dir, port=hub.port, limits=SMALL_PARTS)
    assert list((data_dir / "incoming").iterdir()) == [], "swept at the start"
    _, said = uploader.communicate(b"\n", timeout=DEADLINE_S)
    assert uploader.returncode == 0, said.decode()
    answer = Wire(hub.port).ask("HEAD", "/lab/cut/resolve/main/weights.bin")
    assert answer.headers["ETag"].strip('"') == hashlib.sha256(bytes(size)).hexdigest()
    assert hub.stop() == 0
    assert list((data_dir / "parts").iterdir()) == []


def test_every_commit_that_was_answered_is_there_after_a_kill_and_no_other_is_half_there(tmp_path):
    hub = HubProcess(tmp_path)
    wire = Wire(hub.port)
    wire.create_repo("busy")
    answered = []

    def commit_until_it_ends():
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            for n in itertools.count():
                lines = [small_file(f"{n}/{part}.txt", b"%d" % n) for part in "ab"]
                answered.append((n, wire.commit("lab/busy", *lines).json()["commitOid"]))

    committer = threading.Thread(target=commit_until_it_ends)
    committer.start()
    wait_until(lambda: len(answered) >= 10)
    hub.kill()
    committer.join()
    hub = HubProcess(tmp_path)
    wire = Wire(hub.port)
    commits = [commit["id"] for commit in wire.ask("GET", "/api/models/lab/busy/commits/main").json()]
    files = [entry["path"] for entry in wire.ask("GET", "/api/models/lab/busy/tree/main?recursive=1").json()]
    assert {oid for _, oid in answered} <= set(commits)
    num_commits = len(commits) - 1
    assert num_commits - len(answered) in (0, 1), "the last one may have been kept without an answer"
    assert {path for path in files if "/" in path} == {f"{n}/{p}.txt" for n in range(num_commits) for p in "ab"}
    for path in (f"{n}/a.txt" for n in range(num_commits)):
        assert wire.ask("GET", f"/lab/busy/resolve/main/{path}").body.decode() == path.split("/")[0]
    assert hub.stop() == 0
