"""A node's page that is served for a test: a real home, a real board and course, and wishes that nobody fulfils."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from deadlines import DEADLINE_S
from units import RUN, make_unit

from paris.node.control.wishes import Wishes
from paris.node.join.answers import Answers
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home
from paris.node.page.server import serving
from paris.node.page.site import Site
from paris.node.retry import StopSignal
from paris.node.view import EventKind
from paris.node.view.board import Board
from paris.node.view.course import Course
from paris.protocol.work_records import Verdict


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str


@dataclass
class World:
    """A site, and a browser's side of it."""

    site: Site
    address: str
    cookie: str = ""
    opened: list[http.client.HTTPConnection] = field(default_factory=list)

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    @property
    def token(self) -> str:
        return urlsplit(self.address).query.removeprefix("token=")

    def event(self, kind: EventKind, **fields: object) -> None:
        self.site.board.note(kind, fields)
        self.site.course.note(kind, fields)

    def enter(self) -> None:
        """Open a session, as the printed address does."""
        set_cookie = self.ask(f"/?token={self.token}", cookie="").headers["Set-Cookie"]
        self.cookie = set_cookie.partition(";")[0]

    def request(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str | None):
        """The connection and its response, whose body is not read; headers that are None are left out."""
        cookie = headers.pop("cookie", self.cookie)
        given = {"Host": self.host, "Cookie": cookie or None, **headers}
        connection = http.client.HTTPConnection(self.host, timeout=DEADLINE_S)
        self.opened.append(connection)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection.getresponse()

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str | None) -> Answer:
        response = self.request(path, method, body, **headers)
        return Answer(response.status, response.headers, response.read().decode())

    def post(self, path: str, headers: dict[str, str | None] | None = None, **fields: str) -> Answer:
        """A form of the page itself, but for the headers that are given."""
        body = urlencode(fields).encode()
        return self.ask(path, "POST", body, **{"Origin": self.origin, **(headers or {})})


def train(world: World) -> None:
    """What a node that trains has said so far."""
    world.event(
        EventKind.JOINED, run_id=RUN, name="ada", hardware="a machine", device="cpu", identity="ab", credit_steps=20
    )
    world.event(
        EventKind.LEASED,
        task_id="expert-0",
        lease_id="c",
        attempt=2,
        steps=400,
        start_step=100,
        end_step=300,
        cluster=0,
    )
    world.event(EventKind.TRAINER_READY, task_id="expert-0", step=100, steps=400)
    for step in range(110, 220, 10):
        loss = 1.0 / step
        fields = {"steps_per_s": 2.5, "eta_s": 300.0, "heartbeat_at": 1.76e9, "peers": 3}
        gpu = {"gpu_temperature_c": 61, "gpu_power_w": 187}
        world.event(EventKind.TRAINING, task_id="expert-0", step=step, steps=400, loss=loss, **fields, **gpu)
    world.event(EventKind.SNAPSHOT, task_id="expert-0", step=200, commitment="d" * 64)


def past_unit(home: Home) -> None:
    """A unit that was accepted with ten steps."""
    unit = make_unit()
    verdict = Verdict(
        lease_id=unit.lease.lease_id, task_id="expert-0", attempt=1, volunteer="a" * 64, accepted=True,
        reason="All rungs passed.", rungs=(),
    )  # fmt: skip
    home.unit_folder(RUN, "expert-0", 1).save(unit.model_copy(update={"state": "done", "verdict": verdict}))


@contextlib.contextmanager
def served(folder: Path, *, joins: bool = True, **settings: object) -> Iterator[World]:
    """A page on a free port; its node trains, if it has joined."""
    config = NodeConfig(**{"page": True, "page_port": 0, **settings})
    board, course, wishes = Board(), Course(), Wishes(StopSignal())
    site = Site(Home(folder), config, board, course, wishes, Answers(wishes, board))
    past_unit(site.home)
    with serving(site) as address:
        world = World(site, address)
        if joins:
            train(world)
        yield world
        for connection in world.opened:
            connection.close()
