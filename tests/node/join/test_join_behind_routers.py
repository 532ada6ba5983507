"""Two volunteers behind routers: both join, train and submit, and one fetches its shards from the other."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest
from deadlines import DEADLINE_S
from nat_world import HOST, NatWorld, PeerThere, why_not

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=str(why_not())), pytest.mark.long]
STEPS = 12
COORDINATOR = """
from pathlib import Path
from mini_coordinator import MiniCoordinator
folder = Path({folder!r})
peer = MiniCoordinator(folder, ({steps}, {steps}), {host!r}, relays=True)
other = {{"cluster": 0, "manifest_sha256": peer.tasks["expert-0"].manifest_sha256}}
peer.tasks["expert-1"] = peer.tasks["expert-1"].model_copy(update=other)
peer.grants_to = "ada"
peer.publish()
(folder / "run.json").write_bytes(peer.sealed(peer.spec).data)
"""


class Node:
    """A real `paris-node join` in a namespace; its events as they come."""

    def __init__(self, world: NatWorld, place: str, folder, name: str, **settings: str) -> None:
        arguments = ["join", str(folder / "run.json"), "--home", str(folder / name), "--name", name, "--json"]
        self.process = subprocess.Popen(
            world.command(place, sys.executable, "-m", "paris.node.cli", *arguments, "--threads", "1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PARIS_NODE_ALLOW_PLAIN_HTTP": "true", **settings},
        )
        self.events: list[dict] = []

    def wait_for(self, name: str) -> dict:
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == name:
                return self.events[-1]
        raise AssertionError(f"no {name}: {self.events[-3:]}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)
        self.process.stdout.close()


def doctor(world: NatWorld, place: str, folder, **settings: str) -> dict[str, dict]:
    """The findings of `paris-node doctor` there, by name."""
    arguments = ["doctor", str(folder / "run.json"), "--home", str(folder / "ada"), "--json"]
    done = subprocess.run(
        world.command(place, sys.executable, "-m", "paris.node.cli", *arguments),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "PARIS_NODE_ALLOW_PLAIN_HTTP": "true", **settings},
        check=False,
    )
    return {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_two_volunteers_behind_routers_train_and_one_has_its_shards_from_the_other(tmp_path):
    with NatWorld() as world, contextlib.ExitStack() as stack:
        made = COORDINATOR.format(folder=str(tmp_path), steps=STEPS, host=HOST)
        coordinator = PeerThere(world, "public", made)
        stack.callback(coordinator.close)
        assert coordinator.ask("peer.spec.peers_relay") is True

        listening = {"PARIS_NODE_HOST_DHT": "true", "PARIS_NODE_LISTEN": '["/ip4/0.0.0.0/tcp/4100"]'}
        found = doctor(world, "private1", tmp_path, **listening)
        assert "others reach this node through 1 of the run's peers" in found["relay"]["text"]
        assert "behind a router that translates addresses (NAT)" in found["addresses"]["text"]
        assert {name for name, line in found.items() if not line["passed"]} == set()

        ada = Node(world, "private1", tmp_path, "ada", **listening)
        stack.callback(ada.close)
        assert ada.wait_for("fetched")["bytes_from_peers"] == 0
        assert ada.wait_for("verdict")["accepted"] is True

        coordinator.ask("setattr(peer, 'grants_to', 'ben')")
        ben = Node(world, "private2", tmp_path, "ben")
        stack.callback(ben.close)
        fetched = ben.wait_for("fetched")
        assert fetched["bytes_from_peers"] > 0, "through the coordinator's peer: it only dials out"
        assert ben.wait_for("verdict")["accepted"] is True
        (addresses,) = coordinator.ask("[e.payload.addresses for e in peer.peer.read_all('holding', 2)]")
        assert all("/p2p-circuit/p2p/" in address for address in addresses)
