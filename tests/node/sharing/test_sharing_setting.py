"""`share_shards` in a node as it really starts."""

from __future__ import annotations

import pytest
from sharing_world import seal_question

from paris.node.join.joining import running_agent
from paris.node.join.request import Request
from paris.node.retry import StopSignal
from paris.protocol.dht.peer import Peer
from paris.protocol.errors import PeerError
from paris.protocol.shard_request import ShardStatus


@pytest.fixture
def peer_class():
    return Peer  # here the streams themselves are tested


class _Quiet:
    def event(self, name: str, /, **fields) -> None:
        """Nobody looks."""

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("shares", [True, False])
def test_a_node_serves_shards_or_leaves_others_out_as_its_volunteer_says(world, make_spec, tmp_path, shares):
    spec = make_spec(
        identity=world.coordinator,
        run_id=world.run_id,
        hub_endpoint=world.hub.endpoint,
        initial_peers=tuple(world.peer.addresses),
    )
    (tmp_path / "run.json").write_bytes(spec.data)
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(f"host_dht = true\nshare_shards = {str(shares).lower()}\n", "utf-8")
    asking, wanted = world.volunteer(listens=False), world.files[0]
    with running_agent(Request(str(tmp_path / "run.json"), home, None, {}), _Quiet(), StopSignal()) as agent:
        agent.data.cache.file(wanted.sha256).write_bytes(world.hub.files[wanted.path])
        peer = agent.session.swarm._peer
        question = seal_question(world, asking, peer, wanted.sha256)
        if shares:
            agent.data.sharing.work_on(0, world.manifest_sha256, world.shards)
            stream = asking.swarm.request_shard(peer.addresses[0], question, timeout_s=10)
            stream.close()
            assert stream.status is ShardStatus.AVAILABLE
        else:
            assert agent.data.sharing is None
            with pytest.raises(PeerError, match="serves no shards"):
                asking.swarm.request_shard(peer.addresses[0], question, timeout_s=10)
