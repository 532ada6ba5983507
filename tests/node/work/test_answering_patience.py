"""How often a node tries to give the snapshots that it is asked for, while the Hub does not take them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from file_hub import FileHub
from legs import make_leg, write_snapshots

from paris.node.hub.client import Hub
from paris.node.view import EventKind
from paris.node.work import answering as answering_module
from paris.node.work.answering import Answering
from paris.node.work.report import UnitReport
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Challenge

ME = Identity.generate()
HOUR_S = 3600


class Hours:
    """A node that is asked for a snapshot, polls every second, and counts what it does."""

    def __init__(self, hub: Hub, tmp_path, monkeypatch) -> None:
        self.now, self.hashed, self.events = 0.0, [], []
        folder, unit = make_leg(tmp_path, 0, 20)
        self.snapshots = write_snapshots(folder, 10, 20)
        ids = {"lease_id": unit.lease.lease_id, "task_id": unit.task.task_id, "attempt": unit.lease.attempt}
        self.challenge = Challenge(**ids, volunteer=ME.public_key, steps=(10,), answer_until=2e9)
        sealer = Sealer(ME, "tiny-0123456789abcdef")
        swarm = SimpleNamespace(read=lambda kind: [sealer.seal(self.challenge, 60)])
        session = SimpleNamespace(
            ways=swarm, public_key=ME.public_key, announcer=SimpleNamespace(publish=self.events.append)
        )
        view = SimpleNamespace(event=lambda kind, **fields: self.events.append((kind, fields.get("text", ""))))
        submission = SimpleNamespace(**ids, repo="org/model", pull_request=1)
        digest = answering_module.file_sha256
        monkeypatch.setattr(
            answering_module, "file_sha256", lambda path: self.hashed.append(path.parent.name) or digest(path)
        )
        report = UnitReport(None, view, unit)
        self.answering = Answering(session, hub, submission, folder.snapshots, report, clock=lambda: self.now)

    def poll(self, seconds: int) -> None:
        for _ in range(seconds):
            self.answering.answer()
            self.now += 1.0

    def told(self, kind: EventKind) -> list[str]:
        return [text for found, text in self.events if found is kind]


@pytest.fixture
def answers_with(monkeypatch):
    """Makes the small Hub answer every request but a download with one status; counts the requests."""

    def answer(file_hub: FileHub, status: int) -> list[str]:
        seen: list[str] = []

        def reply(self) -> None:
            seen.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(status, b"", {})

        for method in ("do_GET", "do_POST"):
            monkeypatch.setattr(file_hub.RequestHandlerClass, method, reply, raising=False)
        return seen

    return answer


def test_while_the_hub_is_down_files_are_read_once_and_tries_become_rare(tmp_path, monkeypatch):
    node = Hours(Hub("http://127.0.0.1:9", "secret"), tmp_path, monkeypatch)
    node.poll(HOUR_S)
    assert node.hashed == ["step-00000010"] * 3
    assert len(node.told(EventKind.NOTE)) == 1
    assert 30 <= len(node.told(EventKind.RETRYING)) <= 80, "every two minutes at most, after the first ones"
    node.challenge = node.challenge.model_copy(update={"steps": (20,)})
    node.poll(2)
    assert node.hashed[3:] == ["step-00000020"] * 3, "a new challenge is taken up at once"


def test_what_the_hub_refuses_is_not_tried_again(file_hub, answers_with, tmp_path, monkeypatch):
    requests = answers_with(file_hub, 403)
    node = Hours(Hub(file_hub.endpoint, "secret"), tmp_path, monkeypatch)
    node.poll(HOUR_S)
    assert len(requests) == 1
    assert [("not tried again" in text) for text in node.told(EventKind.NOTE)] == [False, True]
