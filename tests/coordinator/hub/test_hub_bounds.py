"""Strangers' requests cost a bounded amount of memory, descriptors and time."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from hub_process import OWNER_TOKEN, STRANGER_TOKEN, HubProcess, Wire, small_file

from paris.coordinator.hub.storage.store import Store

MIB = 1024**2
COMMIT = "/api/models/lab/run/commit/main"
DEADLINE_S = 60


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = HubProcess(tmp_path_factory.mktemp("hub"))
    Wire(hub.port).create_repo("run")
    yield hub
    assert hub.stop() == 0


@pytest.fixture(scope="module")
def wire(hub):
    return Wire(hub.port)


def num_descriptors(pid: int | str) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def peak_bytes(hub: HubProcess) -> int:
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def send_head(port: int, method: str, path: str, *headers: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    connection.sendall("\r\n".join([f"{method} {path} HTTP/1.1", "Host: hub", *headers, "", ""]).encode())
    return connection


def test_threads_that_end_leave_no_connection_to_the_database_open(tmp_path):
    store = Store(tmp_path / "hub.sqlite3")

    def read():
        with store.read() as db:
            db.execute("SELECT COUNT(*) FROM repos").fetchone()

    opened = []
    for _ in range(4):
        threads = [threading.Thread(target=read) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        opened.append(num_descriptors("self"))
    store.close()
    assert max(opened) - num_descriptors("self") <= 3 * 9


def test_a_burst_of_requests_leaves_few_descriptors_open(hub, wire):
    before = num_descriptors(hub.process.pid)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: wire.ask("GET", "/api/models/lab/run"), range(200)))
    assert {answer.status for answer in answers} == {200}
    assert num_descriptors(hub.process.pid) - before <= 3 * 8 + 2


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("POST", COMMIT, None, 401),
        ("POST", COMMIT + "?create_pr=1", None, 401),
        ("POST", COMMIT, STRANGER_TOKEN, 403),
        ("POST", "/api/models/lab/nothing/commit/main", OWNER_TOKEN, 404),
        ("POST", "/api/repos/create", None, 401),
        ("POST", "/lab/run.git/info/lfs/objects/batch", None, 401),
        ("POST", "/lfs/objects/" + "0" * 64, OWNER_TOKEN, 403),
        ("PUT", "/lfs/objects/" + "0" * 64, OWNER_TOKEN, 403),
    ],
)
def test_a_caller_without_the_right_is_refused_before_its_body_is_read(hub, method, path, token, status):
    headers = ["Content-Length: 1000000"] + ([f"Authorization: Bearer {token}"] if token else [])
    with send_head(hub.port, method, path, *headers) as connection:
        assert connection.recv(12).decode() == f"HTTP/1.1 {status}"


def test_a_large_commit_is_never_whole_in_memory(hub, wire):
    before = peak_bytes(hub)
    contents = [bytes([number]) * (9 * MIB) for number in range(5)]
    lines = [small_file(f"large/{number}.txt", data) for number, data in enumerate(contents)]
    assert wire.commit("lab/run", *lines).status == 200
    assert wire.ask("GET", "/lab/run/resolve/main/large/3.txt").body == contents[3]
    assert peak_bytes(hub) - before < 80 * MIB, "one line of 12 MiB, in five forms"


@pytest.mark.parametrize("path", ["x ", " ", "x\t", "\u00fc\u2028", "\U0001f600 "])
def test_an_error_that_ends_in_any_character_is_answered(wire, path):
    answer = wire.commit("lab/run", {"key": "deletedFile", "value": {"path": path}})
    assert answer.status in (400, 404)
    assert answer.headers["X-Error-Message"]


def test_pages_of_a_folder_with_any_name_have_links(wire):
    files = [small_file(f"f\u00fcnf \u4e94/{number}.txt", b"x") for number in range(3)]
    assert wire.commit("lab/run", *files).status == 200
    seen, link = [], "/api/models/lab/run/tree/main/f%C3%BCnf%20%E4%BA%94?limit=2"
    while link:
        answer = wire.ask("GET", link)
        seen += [entry["path"] for entry in answer.json()]
        link = (answer.headers["Link"] or "").partition(f"<http://127.0.0.1:{wire.port}")[2].partition(">")[0]
    assert seen == [f"f\u00fcnf \u4e94/{number}.txt" for number in range(3)]


def test_a_write_that_blocks_stops_no_other_request(tmp_path):
    hub = HubProcess(tmp_path / "hub", limits={"multipart_from_bytes": 10, "part_bytes": 1000})
    wire = Wire(hub.port)
    wire.create_repo("run")
    upload = wire.batch("lab/run", b"x" * 20, token=OWNER_TOKEN)["actions"]["upload"]
    oid = upload["href"].partition("/objects/")[2].partition("?")[0]
    pipe = hub.data_dir / "parts" / f"lab-{oid}"
    os.mkfifo(pipe)  # opening it blocks, as a disk may
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(wire.ask, "PUT", upload["header"]["1"].partition(f":{hub.port}")[2], b"x" * 20)
        try:
            statuses = [wire.ask("GET", "/api/models/lab/run").status for _ in range(20)]
        finally:
            with pipe.open("rb"):
                blocked.result(timeout=DEADLINE_S)
    assert set(statuses) == {200}
    hub.stop()


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    limits = {"head_s": 2, "stall_s": 2, "max_connections": 40}
    hub = HubProcess(tmp_path_factory.mktemp("strict"), limits=limits)
    Wire(hub.port).create_repo("run")
    yield hub
    assert hub.stop() == 0


def is_ended(connection: socket.socket) -> bool:
    """Whether the Hub ends the connection, without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def is_open_at(hub: HubProcess, connection: socket.socket) -> bool:
    """Whether the Hub's process holds its end of the connection. The client cannot see the end before it has read."""
    ours = connection.getsockname()
    return any(other.raddr == ours for other in psutil.Process(hub.process.pid).net_connections("tcp"))


def test_clients_that_stall_in_head_body_or_response_are_ended(strict):
    wire = Wire(strict.port)
    data = os.urandom(8 * MIB)
    oid = wire.send_object("lab/run", data)
    line = {"key": "lfsFile", "value": {"path": "d.bin", "algo": "sha256", "oid": oid, "size": len(data)}}
    assert wire.commit("lab/run", line).status == 200
    token = f"Authorization: Bearer {OWNER_TOKEN}"
    silent = socket.create_connection(("127.0.0.1", strict.port), timeout=DEADLINE_S)
    in_head = socket.create_connection(("127.0.0.1", strict.port), timeout=DEADLINE_S)
    in_head.sendall(b"GET / HTTP/1.1\r\nHo")
    in_body = send_head(strict.port, "POST", COMMIT, token, "Content-Length: 1000")
    in_object = send_head(
        strict.port, "PUT", wire.upload_address("lab/run", b"y" * 900, token=OWNER_TOKEN), "Content-Length: 900"
    )
    in_object.sendall(b"y")
    for connection in (silent, in_head, in_body, in_object):
        assert is_ended(connection)
        connection.close()
    in_response = socket.socket()
    in_response.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    in_response.settimeout(DEADLINE_S)
    in_response.connect(("127.0.0.1", strict.port))
    in_response.sendall(b"GET /lab/run/resolve/main/d.bin HTTP/1.1\r\nHost: hub\r\n\r\n")
    assert in_response.recv(1) == b"H"
    assert is_open_at(strict, in_response)
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while is_open_at(strict, in_response) and time.monotonic() < deadline:
        pause.wait(0.1)
    assert not is_open_at(strict, in_response)
    in_response.close()
    assert wire.ask("GET", "/lab/run/resolve/main/d.bin").body == data


def trickle(connection: socket.socket) -> None:
    pause = threading.Event()
    for _ in range(DEADLINE_S * 5):
        connection.sendall(b" ")
        pause.wait(0.2)


def test_a_body_that_trickles_is_ended_though_it_never_pauses(strict):
    connection = send_head(
        strict.port, "POST", COMMIT, f"Authorization: Bearer {OWNER_TOKEN}", "Content-Length: 100000"
    )
    with connection, pytest.raises(ConnectionError):
        trickle(connection)


def test_idle_connections_make_room_for_requests(strict):
    idle = [socket.create_connection(("127.0.0.1", strict.port), timeout=DEADLINE_S) for _ in range(60)]
    assert is_ended(idle[0])
    assert Wire(strict.port).ask("GET", "/").status == 200
    for connection in idle:
        connection.close()
