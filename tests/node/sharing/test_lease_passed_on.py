"""A task that changes hands: the second volunteer takes the shards from the first, by two real `paris-node join`."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


def test_the_next_volunteer_of_a_task_takes_its_shards_from_the_one_before(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(20)
    coordinator.verdicts["expert-0", 1] = False
    coordinator.grants_to = "ada"
    for home in ("ada", "ben"):
        (tmp_path / home).mkdir()
    (tmp_path / "ada" / "config.toml").write_text("host_dht = true\n")
    ada, ben = start("--name", "ada", home="ada"), start("--name", "ben", home="ben")
    first = ada.wait_for("fetched")
    coordinator.grants_to = "ben"
    shards = sum(shard.bytes for shard in coordinator.manifests[0].shards)
    assert (first["bytes_received"], first["bytes_from_peers"]) == (shards, 0)
    assert not ada.wait_for("verdict")["accepted"]
    second = ben.wait_for("fetched")
    assert second["bytes_from_peers"] > 0
    # A busy machine answers late, and what is late comes from the Hub.
    assert second["bytes_received"] + second["bytes_from_peers"] == shards
    assert ben.wait_for("verdict")["accepted"]
    # The same weights from the same shards, whichever way they came.
    submissions = list(coordinator.submissions.values())
    assert submissions[0].files[0].sha256 == submissions[1].files[0].sha256
    assert [event["trainer_sockets"] for event in ben.of("traffic")] == [0]
    assert ben.wait_end() == ada.wait_end() == 0
