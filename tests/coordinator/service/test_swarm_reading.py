"""Which of the volunteers' records the coordinator reads at a step: what came, and once in a period all."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tick_world import START, want

from paris.coordinator.service.swarm import DhtWay, SupervisedPeer
from paris.protocol.errors import DaemonError


class Shelves:
    """A peer that says how it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.envelope = want(0, START).envelope

    def read_all(self, kind, buckets):
        self.asked.append(f"all {kind}")
        return [self.envelope] if kind == "want" else []

    def read_fresh(self, places):
        places = list(places)
        self.asked.append(f"fresh {places[0][0]}")
        return {place: [self.envelope] if place == ("want", 1) else [] for place in places}

    def publish_many(self, envelopes, buckets):
        return []


def test_all_peers_are_asked_once_in_a_heartbeats_period_and_after_a_step_that_failed():
    peer, now = Shelves(), [0.0]
    spec = SimpleNamespace(num_buckets=2, heartbeat_every_s=60.0)
    publisher = SimpleNamespace(due=lambda records: [], republish=lambda envelopes: None)
    way = DhtWay(spec, SimpleNamespace(current=peer), publisher, lambda: now[0])

    def asked(*, is_saved: bool = True) -> list[str]:
        peer.asked.clear()
        assert list(way.received(("want", "heartbeat"))) == [peer.envelope]
        if is_saved:
            way.show(SimpleNamespace(records=[]))
        return peer.asked

    everything, news = ["all want", "all heartbeat"], ["fresh want", "fresh heartbeat"]
    assert asked() == everything
    assert asked() == news
    now[0] = 59.9
    assert asked(is_saved=False) == news
    assert asked() == everything, "what the step before had read is not on the disk"
    now[0] = 119.9
    assert asked() == everything
    assert asked() == news


def test_a_peer_that_could_not_serve_the_line_after_its_restart_is_started_again():
    now, told, started = [0.0], [], []

    class Started:
        def __init__(self) -> None:
            self.is_stopped, self.serves = False, False
            started.append(self)

        def healthy(self) -> bool:
            return len(started) > 1

        def stop(self) -> None:
            self.is_stopped = True

    def serve(peer: Started) -> None:
        if len(started) == 2:
            raise DaemonError("The daemon serves no line.")
        peer.serves = True

    def checked() -> bool:
        now[0] += 31.0
        return supervised.restart_if_dead()

    supervised = SupervisedPeer(Started, told.append, lambda: now[0])
    supervised.on_start(serve)
    with pytest.raises(DaemonError):
        checked()
    assert checked(), "so that every record is stored again"
    assert [peer.is_stopped for peer in started] == [True, True, False]
    assert supervised.current.serves
    assert not checked()
