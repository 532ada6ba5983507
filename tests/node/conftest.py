"""Fixtures of the node's tests: a small Hub, a run's description, a coordinator, nodes."""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
import time

import pytest
from file_hub import FileHub

from paris.node.fetching.cache import Cache
from paris.node.fetching.download import Downloader
from paris.node.fetching.fetcher import Fetcher
from paris.node.hub.client import Hub
from paris.protocol.envelope import seal
from paris.protocol.run_records import RunSpec
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity

TOKEN = "volunteer-token-of-the-tests"


@pytest.fixture
def file_hub():
    server = FileHub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits() -> list[float]:
    """What the code under test wanted to wait, in seconds."""
    return []


@pytest.fixture
def downloader(file_hub, tmp_path, waits) -> Downloader:
    return Downloader(Hub(file_hub.endpoint, "secret"), Cache(tmp_path / "cache"), waits.append, max_tries=4)


@pytest.fixture
def fetcher(downloader) -> Fetcher:
    return Fetcher(downloader, parallel=3)


@pytest.fixture
def file_size_limit():
    """A context in which files of this process end at 64 KiB, as on a full disk; SIGXFSZ becomes EFBIG."""

    @contextlib.contextmanager
    def limited():
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, old[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, before)

    return limited


@pytest.fixture
def peer_class():
    """The peers of a `World`: in memory, where a test is about what volunteers say, not about streams."""
    from memory_swarm import MemoryPeer

    return MemoryPeer


@pytest.fixture
def make_world(file_hub, tmp_path, peer_class):
    """Makes a run with volunteers that share; see `World`."""
    from sharing_world import World

    worlds = []

    def make(**numbers: int) -> World:
        worlds.append(World(tmp_path, file_hub, peer_class, **numbers))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world):
    """A run with volunteers that share four shards."""
    return make_world()


@pytest.fixture
def coordinator() -> Identity:
    return Identity.generate()


@pytest.fixture
def make_spec(coordinator):
    """Seals a RunSpec; keyword arguments replace its fields."""

    def make(*, identity=coordinator, run_id=None, sequence=1, **fields):
        values = {
            "name": "tiny",
            "num_experts": 1,
            "hub_endpoint": "http://127.0.0.1:9",
            "data_repo": "org/data",
            "model_repo": "org/model",
            "initial_peers": ("/ip4/127.0.0.1/tcp/9/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR",),
            "seed": 3,
            "model": {},
            "training": {},
            "text": {},
            "codec": {},
            "heartbeat_every_s": 1.0,
            "lease_s": 600.0,
            "licence": "CC-BY-4.0",
        }
        run_id = run_id or make_run_id("tiny", coordinator.public_key)
        now = time.time()
        spec = RunSpec.model_validate({**values, **fields})
        return seal(spec, identity, run_id=run_id, sequence=sequence, issued_at=now, expires_at=now + 3600)

    return make


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No setting of the machine reaches a test."""
    import os

    for name in list(os.environ):
        if name.startswith(("PARIS_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PARIS_HOME", str(tmp_path / "default-home"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.fixture
def make_coordinator(tmp_path, monkeypatch):
    """Starts a MiniCoordinator with one expert for each number of steps, and writes its run.json."""
    from mini_coordinator import MiniCoordinator

    from paris.coordinator.hub import add_user

    made = []

    def make(*steps: int) -> MiniCoordinator:
        coordinator = MiniCoordinator(tmp_path, steps)
        made.append(coordinator)
        add_user(tmp_path / "hub", "volunteer", TOKEN)
        monkeypatch.setenv("PARIS_NODE_HUB_TOKEN_ENDPOINT", coordinator.hub.url)
        (tmp_path / "run.json").write_bytes(coordinator.sealed(coordinator.spec).data)
        return coordinator

    yield make
    for coordinator in made:
        coordinator.stop()


@pytest.fixture
def start(tmp_path):
    """Starts `paris-node join` for that run."""
    from node_process import NodeProcess

    nodes = []

    def start(*arguments: str, token: str = TOKEN, run: str | None = None, home: str = "home") -> NodeProcess:
        node = NodeProcess(tmp_path / home, run or str(tmp_path / "run.json"), *arguments, token=token)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.close()
