"""Proxies, ports, peers that are dead or somebody else, and records of the run."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest
from portal import Portal
from units import make_unit

from paris.node.doctor.daemon_looks import daemon, peers, records
from paris.node.doctor.finding import Level
from paris.node.doctor.looks import Look, look_at
from paris.node.doctor.network_looks import addresses, ports, proxies
from paris.node.doctor.run_looks import run
from paris.node.join.resolve import Address
from paris.protocol.dht.peer import Peer
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

NOBODY = "12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"


@pytest.fixture(scope="module")
def swarm():
    """A run of one peer, and a peer of this machine that has joined nothing."""
    coordinator = Identity.generate()
    run_id = make_run_id("tiny", coordinator.public_key)
    with Peer.start(run_id=run_id, coordinator=coordinator.public_key) as first:
        own = Peer.start(run_id=run_id, coordinator=coordinator.public_key, client_mode=True)
        with own:
            yield SimpleNamespace(coordinator=coordinator, run_id=run_id, first=first, own=own)


@pytest.fixture
def joining(known, swarm):
    """What is known before the look at the peers."""

    def joining(*addresses: str):
        known.run, known.peer = "run.json", swarm.own
        known.address = Address(swarm.run_id, None, addresses)
        return known

    return joining


def test_proxies_are_shown_without_their_passwords_and_a_malformed_one_is_a_problem(known, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:secret@proxy.example:3128")
    (found,) = proxies(known)
    assert "https: http://proxy.example:3128" in found.text
    assert "secret" not in found.text
    monkeypatch.delenv("HTTPS_PROXY")
    assert [finding.text for finding in proxies(known)] == ["none"]


def test_a_port_that_is_taken_is_a_problem_unless_this_homes_node_has_it(known):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        known.config = known.config.model_copy(update={"host_dht": True, "listen": (listen,)})
        (found,) = look_at(Look("ports", lambda: ports(known)))
        assert found.level is Level.PROBLEM
        assert "is in use by another process" in found.text
        known.is_running = True
        assert [finding.level for finding in ports(known)] == [Level.OK]
    known.is_running = False
    (found,) = ports(known)
    assert found.level is Level.WARNING
    assert "from this machine alone" in found.text


def test_a_node_that_only_dials_out_needs_no_public_address(known):
    assert all(finding.level is not Level.WARNING for finding in addresses(known))
    assert [finding.text for finding in ports(known)] == ["none opened: this node only dials out"]


def test_the_daemon_starts_without_a_run(known):
    (found,) = daemon(known)
    known.peer.stop()
    assert found.level is Level.OK
    assert "only dials out" in found.text


def test_a_live_peer_a_dead_one_and_others_in_its_place_are_told_apart(joining, swarm):
    with Portal("http://127.0.0.1:9") as page, socket.create_server(("127.0.0.1", 0)) as closing:
        dead = f"/ip4/127.0.0.1/tcp/{closing.getsockname()[1]}/p2p/{NOBODY}"
        closing.close()
        somebody = f"/ip4/127.0.0.1/tcp/{page.server_port}/p2p/{NOBODY}"
        (live,) = swarm.first.addresses
        other = f"{live.rpartition('/')[0]}/{NOBODY}"
        udp, port = f"/ip4/127.0.0.1/udp/1/quic/p2p/{NOBODY}", f"/ip4/127.0.0.1/tcp/99999/p2p/{NOBODY}"
        found = {finding.name: finding for finding in peers(joining(live, dead, somebody, other, udp, port))}
    assert found[f"peer {live}"].level is Level.OK
    assert "with its identity" in found[f"peer {live}"].text
    others = [found[f"peer {address}"] for address in (dead, somebody, other, udp, port)]
    assert {finding.level for finding in others} == {Level.WARNING}, "a live one is enough"
    assert others[0].text.startswith("No answer: ")
    assert all(finding.text.startswith("The port answers, but not as this peer: ") for finding in others[1:3])
    assert all(finding.next_step for finding in others)


def test_without_any_live_peer_the_dead_ones_are_problems(joining):
    assert [finding.level for finding in peers(joining(f"/ip4/127.0.0.1/tcp/1/p2p/{NOBODY}"))] == [Level.PROBLEM]
    assert [finding.level for finding in peers(joining())] == [Level.PROBLEM]


def test_the_description_and_the_tasks_come_from_the_peers(joining, swarm, make_spec):
    known = joining(*swarm.first.addresses)
    assert [finding.level for finding in peers(known)] == [Level.OK]
    (found,) = look_at(Look("records", lambda: records(known)))
    assert found.level is Level.PROBLEM, "a multiaddr as RUN, and no description anywhere"
    spec = make_spec(identity=swarm.coordinator, run_id=swarm.run_id)
    task = make_unit().task.model_copy(update={"state": "open"})
    swarm.first.publish_many([spec, Sealer(swarm.coordinator, swarm.run_id).seal(task, 120.0)], 1)
    (found,) = records(known)
    assert found.text == "tasks: 1, open: 1"
    assert known.spec.payload.name == "tiny"


def test_a_run_of_another_key_a_newer_version_or_the_past_is_said(known, tmp_path, make_spec, coordinator):
    known.run = str(tmp_path / "run.json")
    (tmp_path / "run.json").write_bytes(make_spec(name="\u202etiny", min_node_version="9.0").data)
    fresh, newer = run(known)
    assert (fresh.level, newer.level) == (Level.OK, Level.PROBLEM)
    assert "(\\u202etiny)" in fresh.text
    assert "paris-node 9.0 or newer" in newer.text
    known.home.pin(known.spec.run_id, "a" * 64)
    (found,) = look_at(Look("run", lambda: run(known)))
    assert found.level is Level.PROBLEM
    assert "was joined with key aaaa" in found.text
    assert time.time() < known.spec.expires_at
