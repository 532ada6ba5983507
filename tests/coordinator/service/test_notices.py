"""Notices arrive at real HTTP servers: signed, once each, later where a server was down, and harmless as messages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

from paris.coordinator.cli.app import app
from paris.coordinator.errors import ConfigError
from paris.coordinator.run.config import parse_config
from paris.coordinator.run.create import create_run
from paris.coordinator.service.notices import Notifier
from paris.coordinator.service.webhooks import read_secret, signature
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store

TINY = Path(__file__).parents[2] / "swarm" / "tiny.toml"


class Receiver:
    """An HTTP server that notes what is posted to it."""

    def __init__(self) -> None:
        self.status, self.got, self.meanwhile, receiver = 200, [], lambda: None, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((dict(self.headers), body))
                receiver.meanwhile()
                self.send_response(receiver.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/of-the-run"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def texts(self) -> list[str]:
        return [event["text"] for _, body in self.got for event in json.loads(body)["data"]["events"]]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def make(tmp_path, receiver):
    """A run whose webhook is the receiver, and its notifier with clocks in hand."""

    class World:
        now, free = 1000.0, 10**12

        def __init__(self, **settings) -> None:
            hook = {"name": "ops", "url": receiver.url, **settings}
            text = TINY.read_text() + "\n[[notify.webhooks]]\n"
            text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in hook.items())
            recipe = tmp_path / "recipe.toml"
            recipe.write_text(text)
            self.run, self.said = create_run(tmp_path / "run", recipe=str(recipe)), []
            self.notifier = self.start()

        def start(self) -> Notifier:
            return Notifier(self.run, self.said.append, lambda: self.now, lambda: 1.7e9 + self.now, lambda: self.free)

        def happens(self, *events: tuple[EventKind, str]) -> None:
            store = Store(self.run.state_file)
            store.save(State(), State(), [Event(kind, text) for kind, text in events], 1.7e9 + self.now)
            store.close()

    return World


def test_events_of_the_wanted_kinds_are_posted_once_with_a_signature_that_holds(make, receiver):
    world = make()
    world.happens((EventKind.REGISTERED, "expert-0 of ada"), (EventKind.JOINED, "ben"), (EventKind.REJECTED, "copy"))
    world.notifier.step()
    world.notifier.step()
    ((headers, body),) = receiver.got
    assert receiver.texts == ["expert-0 of ada", "copy"]
    sent = json.loads(body)
    assert (sent["type"], sent["data"]["run_id"], sent["data"]["left_out"]) == ("run.events", world.run.run_id, 0)
    key = base64.b64decode(read_secret(world.run.path)[len("whsec_") :])
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert stat.S_IMODE((world.run.path / "keys" / "notify.secret").stat().st_mode) == 0o600


def test_the_signature_is_that_of_the_published_example():
    """Of the Standard Webhooks specification's own reference libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_happens_while_the_server_is_down_arrives_later_and_the_log_says_both(make, receiver):
    world = make()
    receiver.status = 503
    world.happens((EventKind.STORED, "leg one"))
    world.notifier.step()
    world.happens((EventKind.STORED, "leg two"))
    world.notifier.step()
    assert len(receiver.got) == 1, "it is not asked again at once"
    receiver.status, world.now = 200, world.now + 21
    world.notifier.step()
    world.notifier.step()
    assert receiver.texts == ["leg one", "leg one", "leg two"]
    assert receiver.got[0][1] == receiver.got[1][1]
    assert [headers["webhook-id"] for headers, _ in receiver.got[:2]] == [receiver.got[0][0]["webhook-id"]] * 2
    assert [event.kind for event in world.said] == [EventKind.PROBLEM, EventKind.SERVING]
    assert receiver.url not in world.said[0].text


def test_a_restarted_service_goes_on_where_it_was_and_a_new_webhook_begins_now(make, receiver):
    world = make()
    world.happens((EventKind.STORED, "first"))
    world.notifier.step()
    world.happens((EventKind.STORED, "while it was down"))
    world.start().step()
    assert receiver.texts == ["first", "while it was down"]
    (world.run.path / "notices.json").write_text("{")
    world.start().step()
    assert len(receiver.texts) == 2


def test_a_problem_that_the_log_holds_too_is_told_once(make, receiver):
    world = make()
    world.happens((EventKind.PROBLEM, "expert-0: look at it"))
    world.notifier.note(Event(EventKind.PROBLEM, "expert-0: look at it"))
    world.notifier.step()
    assert receiver.texts == ["expert-0: look at it"]


def test_a_restored_state_whose_log_is_behind_the_notices_goes_on_with_its_newest_event(make, receiver):
    world = make()
    world.happens((EventKind.STORED, "told before the backup"))
    (world.run.path / "notices.json").write_text('{"format": 1, "delivered": {"ops": 50}}')
    again = world.start()
    world.happens((EventKind.STORED, "afterwards"))
    again.step()
    assert receiver.texts == ["afterwards"]


def test_what_comes_while_a_notice_is_posted_is_told_next(make, receiver):
    world = make()

    def fill(count: int) -> None:
        for number in range(count):
            world.notifier.note(Event(EventKind.PROBLEM, f"{count}: {number}"))

    fill(200)
    receiver.meanwhile = lambda: fill(50)
    world.notifier.step()
    receiver.meanwhile = lambda: None
    world.notifier.step()
    assert len(receiver.got) == 2
    assert receiver.texts[-1] == "50: 49"
    assert json.loads(receiver.got[1][1])["data"]["left_out"] == 30


def test_a_redirect_is_not_followed(make, receiver):
    world = make()
    receiver.status = 307
    world.happens((EventKind.STORED, "leg"))
    world.notifier.step()
    assert len(receiver.got) == 1
    assert "status 307" in world.said[0].text


def test_a_problem_is_told_once_an_hour_and_a_low_disk_once(make, receiver):
    world = make()
    world.free = 10**9
    for _ in range(3):
        world.notifier.note(Event(EventKind.PROBLEM, "OSError: no space"))
        world.notifier.note(Event(EventKind.JOINED, "not a problem"))
        world.notifier.step()
    assert [text.split(",")[0][:16] for text in receiver.texts] == ["OSError: no spac", "1.0 GB are free "]
    world.free = 10**12
    world.notifier.step()
    world.free, world.now = 10**9, world.now + 3601
    world.notifier.note(Event(EventKind.PROBLEM, "OSError: no space"))
    world.notifier.step()
    assert len(receiver.texts) == 4


def test_many_events_are_one_notice_that_counts_those_it_leaves_out(make, receiver):
    world = make()
    world.happens(*((EventKind.STORED, f"leg {number}") for number in range(50)))
    world.notifier.step()
    assert receiver.texts == [f"leg {number}" for number in range(30, 50)]
    assert json.loads(receiver.got[0][1])["data"]["left_out"] == 30


@pytest.mark.parametrize(("style", "field"), [("slack", "text"), ("discord", "content")])
def test_a_message_of_a_stranger_calls_nobody_and_moves_no_cursor(make, receiver, style, field):
    world = make(style=style)
    world.happens((EventKind.REJECTED, "<!channel> @everyone \x1b[2J" + "x" * 1500), (EventKind.STORED, "y" * 1500))
    world.notifier.step()
    sent = json.loads(receiver.got[0][1])
    assert "\x1b" not in sent[field]
    assert "<!channel>" not in sent["text"] if style == "slack" else sent["allowed_mentions"] == {"parse": []}
    assert len(sent[field]) < 2000
    assert "1 earlier event" in sent[field]


@pytest.mark.parametrize(
    ("url", "name", "complaint"),
    [
        ("http://example.org/x", "ops", "neither https nor on this machine"),
        ("file:///etc/passwd", "ops", "neither https"),
        ("https://example.org", "Ops!", "name"),
    ],
)
def test_a_wrong_webhook_is_refused_with_its_name(url, name, complaint):
    text = f'{TINY.read_text()}\n[[notify.webhooks]]\nname = "{name}"\nurl = "{url}"\n'
    with pytest.raises(ConfigError, match=complaint):
        parse_config(text, "run.toml")


def test_notify_says_of_each_webhook_whether_a_test_arrived(make, receiver):
    from typer.testing import CliRunner

    world = make()
    told = CliRunner().invoke(app, ["notify", str(world.run.path)])
    assert told.exit_code == 0, told.output
    assert "ops: arrived" in told.output
    receiver.status = 404
    refused = CliRunner().invoke(app, ["notify", str(world.run.path), "--json"])
    assert json.loads(refused.stdout)["webhooks"][0]["error"].startswith("Webhook ops answered with status 404.")


def test_the_key_of_the_signatures_is_printed_though_all_else_leaves_it_out(make):
    world = make()
    command = [sys.executable, "-m", "paris.coordinator.cli.app", "notify", str(world.run.path), "--secret"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    assert told.stdout.strip() == read_secret(world.run.path)
