"""When the Hub fails, volunteers hear of the other coordinator all the same, and a coordinator stands again."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest

from paris.coordinator.errors import HubError
from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.service import startup
from paris.coordinator.service.standing import Candidate
from paris.coordinator.state.leading import Leadership
from paris.coordinator.state.store import Store
from paris.protocol.sealer import Sealer

FIRST, SECOND = "/ip4/10.0.0.1/tcp/1/p2p/first", "/ip4/10.0.0.2/tcp/1/p2p/second"


@contextmanager
def silent_hub():
    """A Hub at whose port nothing answers."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield RunHub(f"http://127.0.0.1:{bound.getsockname()[1]}", "hf_x", "org/model", "org/data")


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", recipe="emoji-quick")


def test_addresses_that_the_hub_refused_are_shown_and_told_again(run, schema, monkeypatch):
    monkeypatch.setattr(startup, "make_spec", lambda run, addresses: SimpleNamespace(initial_peers=addresses))
    monkeypatch.setattr(startup, "publish_run_json", lambda run, hub, sealer, spec: uploads.pop()())
    Store(schema).close()
    now, shown = [0.0], []
    lead, other = Leadership(schema, "first"), Leadership(schema, "second")
    with closing(lead), closing(other), silent_hub() as hub:
        uploads = [list, hub.ensure_repos, list]
        peer = SimpleNamespace(current=SimpleNamespace(peer_id="first", addresses=[FIRST]))
        claim = Candidate(run, peer, lead, print, lambda: now[0])
        sealer = Sealer(run.identity, run.run_id)
        assert lead.try_to_lead()
        startup._describe(run, hub, sealer, claim)
        other.announce([SECOND])
        now[0] += 11
        assert claim.keep()
        with pytest.raises(HubError):
            startup._describe(run, hub, sealer, claim, shown.append)
        assert shown[-1].initial_peers == [FIRST, SECOND]
        now[0] += 11
        assert claim.keep(), "run.json on the Hub is still the old one"
        startup._describe(run, hub, sealer, claim, shown.append)
        now[0] += 11
        assert not claim.keep()


class Stood:
    """Claims that lead at once; `stop` is set at the second."""

    require = staticmethod(lambda: None)

    def __init__(self, stop: threading.Event) -> None:
        self.stop, self.number = stop, 0

    def wait(self, stop: threading.Event) -> bool:
        self.number += 1
        if self.number == 2:
            stop.set()
        return not stop.is_set()


@pytest.mark.parametrize("has_database", [True, False])
def test_a_hub_that_fails_at_a_take_over_ends_the_lead_and_with_a_database_not_the_coordinator(
    run, request, monkeypatch, has_database
):
    if has_database:
        path = run.path / "run.toml"
        url = request.getfixturevalue("schema").url
        text = path.read_text().replace("[state]\n", f'[state]\ndatabase = "{url}"\n')
        path.write_text(text.replace("embedded = true", "embedded = false"))
        run = RunDir.open(run.path)
    monkeypatch.setattr(RunDir, "require_prepared", lambda self: None)
    monkeypatch.setattr(startup, "_AGAIN_S", 0.0)
    monkeypatch.setattr(startup, "start_embedded_hub", lambda run, children: None)
    stop, said = threading.Event(), []
    stood = Stood(stop)
    monkeypatch.setattr(startup, "stand", lambda run, log, stack: stood)
    with silent_hub() as hub:
        monkeypatch.setattr(startup, "connect_hub", lambda *_, **__: hub)
        if has_database:
            startup.serve(run, said.append, stop)
            assert stood.number == 2
            assert hub.endpoint in said[0].text
        else:
            with pytest.raises(HubError):
                startup.serve(run, said.append, stop)
