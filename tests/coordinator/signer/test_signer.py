"""The run's key in another process: it signs valid records of its run, and nothing else."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from hub_gate import wait_until

from paris.coordinator.errors import SignerError
from paris.coordinator.run.create import create_run
from paris.coordinator.run.derived import derived_secret
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.lives import life_s
from paris.coordinator.signer import key as key_module
from paris.coordinator.signer import server as server_module
from paris.coordinator.signer.client import KeyElsewhere, open_with_signer
from paris.coordinator.signer.key import RunKey
from paris.coordinator.signer.messages import Ask
from paris.coordinator.signer.server import serve_key
from paris.protocol.envelope import open_envelope, seal
from paris.protocol.errors import IdentityError
from paris.protocol.invites import new_invite
from paris.protocol.run_records import Task
from paris.protocol.sealer import Sealer, SequenceFile
from paris.protocol.signing import Identity
from paris.protocol.work_records import Verdict, Want

TASK = Task(
    task_id="expert-0", cluster=0, steps=10, batch_size=2, manifest_sha256="0" * 64, data_bytes=1, min_memory_bytes=0,
    min_disk_bytes=0, deadline_s=10, grace_s=1, state="open",
)  # fmt: skip
WANT = Want(name="ada", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return create_run(tmp_path_factory.mktemp("keys") / "run", recipe="emoji-quick")


@pytest.fixture
def place():
    """A socket's path, which is 107 bytes long at most."""
    folder = tempfile.mkdtemp(prefix="paris-signer-")
    yield Path(folder) / "socket"
    shutil.rmtree(folder)


@contextmanager
def signing(run: RunDir, place: Path):
    stop = threading.Event()
    thread = threading.Thread(target=serve_key, args=(RunKey(run), place, stop))
    thread.start()
    wait_until(place.exists, DEADLINE_S, "the signer's socket")
    try:
        yield
    finally:
        stop.set()
        thread.join()


def body_of(run: RunDir, payload, **changes) -> str:
    """What `seal` lets be signed, as it is sent."""
    asked = []

    class Asked:
        public_key = run.identity.public_key

        def sign(self, message: bytes) -> str:
            asked.append(message.hex())
            return "0" * 128

    now = time.time()
    fields = {"run_id": run.run_id, "sequence": 1, "issued_at": now, "expires_at": now + 60, **changes}
    seal(payload, Asked(), **fields)
    return asked[0]


def test_a_record_that_the_signer_signed_is_one_of_the_run(run, place):
    with signing(run, place):
        envelope = Sealer(KeyElsewhere(place), run.run_id).seal(TASK, 60.0)
    assert open_envelope(envelope.data, run_id=run.run_id, coordinator=None, now=time.time()).payload == TASK
    assert not place.exists()
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_else_is_signed(run):
    key, now = RunKey(run), time.time()
    invite, _ = new_invite(1)
    others = {
        "a volunteer's record": body_of(run, WANT),
        "an invite": body_of(run, invite),
        "another run's": body_of(run, TASK, run_id="tiny-" + "0" * 16),
        "one that is over": body_of(run, TASK, issued_at=now - 200, expires_at=now - 100),
        "one for years": body_of(run, TASK, expires_at=now + 10**8),
        "one for an hour": body_of(run, TASK, expires_at=now + 3600),
        "one above all later ones": body_of(run, TASK, sequence=2**53 - 1),
        "one above those of the next hour": body_of(run, TASK, sequence=int((now + 3600) * 1000)),
        "another signer's": body_of(run, TASK).replace(
            run.identity.public_key.encode().hex(), Identity.generate().public_key.encode().hex()
        ),
        "no record": b"a wire transfer".hex(),
        "no object": b"paris-record-v1\n[1]".hex(),
        "no JSON": b"paris-record-v1\n{".hex(),
        "no hexadecimal": "xyz",
    }
    for what, value in others.items():
        answer = key.answer(Ask(what="sign", value=value))
        assert (answer.value, bool(answer.refused)) == ("", True), what
    assert key.answer(Ask(what="sign", value=body_of(run, TASK))).value


def test_what_a_service_seals_is_signed_also_after_many_restarts(run, tmp_path):
    key, verdict = RunKey(run), Verdict(
        lease_id="a" * 32, task_id="expert-0", attempt=1, volunteer="b" * 64, accepted=True, reason="Good.", rungs=()
    )  # fmt: skip

    class Asking:
        public_key = run.identity.public_key

        def sign(self, message: bytes) -> str:
            return key.answer(Ask(what="sign", value=message.hex())).value

    for _ in range(20):
        sealer = Sealer(Asking(), run.run_id, sequences=SequenceFile(tmp_path / "sequence"))
        for payload in (TASK, verdict, TASK):
            open_envelope(
                sealer.seal(payload, life_s(payload.kind)).data,
                run_id=run.run_id,
                coordinator=run.identity.public_key,
                now=time.time(),
            )


def test_too_many_signatures_at_once_are_refused_until_some_time_later(run, monkeypatch):
    monkeypatch.setattr(key_module, "MOST_AT_ONCE", 3)
    seconds = [0.0]
    key, ask = RunKey(run, steady=lambda: seconds[0]), Ask(what="sign", value=body_of(run, TASK))
    assert [bool(key.answer(ask).value) for _ in range(4)] == [True, True, True, False]
    seconds[0] = 1 / key_module.MOST_PER_S
    assert [bool(key.answer(ask).value) for _ in range(2)] == [True, False]


def test_a_signer_that_was_restarted_is_asked_again_and_one_that_is_gone_is_named(run, place):
    with signing(run, place):
        key = KeyElsewhere(place)
        assert key.derived_secret("draws") == derived_secret(run, "draws")
        with pytest.raises(SignerError, match="no secret for 'money'"):
            key.derived_secret("money")
        with pytest.raises(SignerError, match="Another signer answers"):
            serve_key(RunKey(run), place, threading.Event())
    with pytest.raises(SignerError, match="No signer answers at"):
        key.sign(b"")
    with signing(run, place):
        assert key.derived_secret("draws") == derived_secret(run, "draws")


def test_many_may_ask_at_once(run, place):
    with signing(run, place), ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(DEADLINE_S)
            connection.connect(str(place))


def test_a_file_that_is_no_socket_is_not_replaced(run, tmp_path):
    (tmp_path / "notes").write_text("of mine")
    with pytest.raises(SignerError, match="is there already, and is no socket"):
        serve_key(RunKey(run), tmp_path / "notes", threading.Event())
    assert (tmp_path / "notes").read_text() == "of mine"


def test_of_two_signers_started_at_once_one_answers_and_the_other_leaves_its_socket(run, place, monkeypatch):
    """Neither saw the other one: both looked before the first had its socket."""
    monkeypatch.setattr(server_module, "_answers", lambda path: False)
    stop = threading.Event()
    stop.set()
    with signing(run, place):
        with pytest.raises(SignerError, match="Another signer answers"):
            serve_key(RunKey(run), place, stop)
        assert KeyElsewhere(place).public_key == run.identity.public_key


def test_a_run_without_its_key_has_the_same_id_and_signs_by_its_signer_alone(run, place, tmp_path):
    other = create_run(tmp_path / "other", recipe="emoji-quick")
    path = Path(shutil.copytree(run.path, tmp_path / "run"))
    (path / "keys" / "run.key").unlink()
    with signing(run, place):
        with pytest.raises(SignerError, match="key of another run"):
            open_with_signer(other.path, place)
        served = open_with_signer(path, place)
        assert Sealer(served.identity, served.run_id).seal(TASK, 60.0).signer == run.identity.public_key
        assert derived_secret(served, "verification") == derived_secret(run, "verification")
    beside = RunDir.open(path)
    assert beside.run_id == served.run_id == run.run_id
    with pytest.raises(IdentityError, match=r"run\.pub is a public key"):
        Sealer(beside.identity, beside.run_id).seal(TASK, 60.0)


def test_the_command_signs_until_it_is_ended_and_replaces_the_socket_of_a_killed_one(run, place):
    command = [sys.executable, "-m", "paris.coordinator.cli.app", "signer", str(run.path), "--socket", str(place)]
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(place))
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        key = wait_until(lambda: answering(place), DEADLINE_S, "the signer")
        assert Sealer(key, run.run_id).seal(TASK, 60.0).signer == run.identity.public_key
        process.terminate()
    assert process.returncode == 0
    assert not place.exists()
    assert "Signed task expert-0" in (run.path / "logs" / "signer.log").read_text()


def answering(place: Path) -> KeyElsewhere | None:
    try:
        return KeyElsewhere(place)
    except SignerError:
        return None
