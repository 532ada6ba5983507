"""The finished expert's upload, cut in the middle: tried again, finished, and one pull request."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cutting_proxy import CuttingProxy
from deadlines import DEADLINE_S
from huggingface_hub import HfApi
from units import finish, make_unit

from paris.coordinator.hub import add_user, admin_token
from paris.experts.files import file_sha256
from paris.node.hub.client import Hub
from paris.node.hub.pull_request import make_submission, title_of, upload
from paris.node.machine.unit import UnitFolder
from paris.node.retry import Backoff, persist
from paris.protocol.lifeline import child_environment
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

pytestmark = pytest.mark.slow
MIB = 2**20
TOKEN = "a-token-of-ada-for-tests"


class HubProcess:
    """`python -m paris.coordinator.hub` on one data folder; started again, it listens where it did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        add_user(folder, "ada", TOKEN)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "paris.coordinator.hub", "--data", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=child_environment()
        )
        self.port = urlsplit(self.process.stdout.readline().split()[-1]).port

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def hub(tmp_path):
    process = HubProcess(tmp_path / "hub")
    yield process
    process.kill()


@pytest.fixture
def finished(tmp_path, coordinator):
    """A unit whose weights of 4 MiB wait to be uploaded."""
    folder = UnitFolder(tmp_path / "unit")
    run_id = make_run_id("tiny", coordinator.public_key)
    unit = make_unit().model_copy(update={"run_id": run_id})
    return finish(folder, unit, random.Random(1).randbytes(4 * MIB)), folder


@pytest.mark.parametrize("hub_dies", [False, True], ids=["the connection closes", "the Hub is killed"])
def test_an_upload_that_is_cut_in_the_middle_ends_in_one_pull_request(hub, finished, tmp_path, hub_dies):
    unit, folder = finished
    me, waits = Identity.generate(), []
    admin = HfApi(endpoint=f"http://127.0.0.1:{hub.port}", token=admin_token(tmp_path / "hub"))
    admin.create_repo("org/model")
    submission = make_submission(unit, folder, Sealer(me, unit.run_id), name="ada", repo="org/model")

    def cut() -> None:
        if hub_dies:
            proxy.is_down = True
            hub.kill()

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if proxy.is_down:
            hub.start()
            proxy.is_down = False

    proxy = CuttingProxy(hub.port, MIB, cut)
    client = Hub(proxy.url, TOKEN)
    made = persist(
        lambda: upload(client, unit, folder, submission, me.public_key), pause=pause, backoff=Backoff(), max_tries=5
    )
    proxy.close()

    assert proxy.num_cuts == 1
    assert MIB <= proxy.puts[0] < 4 * MIB <= proxy.puts[-1]
    assert len(waits) == int(hub_dies)  # a mere cut is repaired by the Hub client's own second try
    found = [item for item in admin.get_repo_discussions("org/model") if item.title == title_of(unit, "ada")]
    assert [item.num for item in found] == [made.number]
    path = submission.files[0].path
    whole = admin.hf_hub_download("org/model", path, revision=made.commit, local_dir=tmp_path / "check")
    assert file_sha256(Path(whole)) == unit.finished.files[0].sha256
