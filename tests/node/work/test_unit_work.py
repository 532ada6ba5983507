"""From the lease to the finished weights inside one process: what fetching and training tell each other."""

from __future__ import annotations

import pytest

from paris.node.fetching.urgency import Urgency
from paris.node.join.joining import running_agent
from paris.node.join.request import Request
from paris.node.retry import StopSignal
from paris.node.work.data import _WINDOW_SHARDS, in_order


class _Events:
    def __init__(self) -> None:
        self.names: list[str] = []

    def event(self, name: str, /, **fields) -> None:
        self.names.append(name)

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.slow
def test_the_fetch_hears_how_far_the_training_is_and_waits_for_peers_a_thousandth_of_the_deadline(
    make_coordinator, tmp_path, monkeypatch
):
    make_coordinator(12)
    monkeypatch.setenv("PARIS_HUB_TOKEN", "volunteer-token-of-the-tests")
    view = _Events()
    request = Request(str(tmp_path / "run.json"), tmp_path / "home", None, {"threads": 1})
    with running_agent(request, view, StopSignal()) as agent:
        work = agent.unit_work(*agent.wait_for_lease(60.0))
        work.accept()
        shards, urgency = in_order(agent.session.spec, work.unit)
        assert sorted(shard.sha256 for shard in shards) == sorted(shard.sha256 for shard in work.unit.shards)
        assert isinstance(urgency, Urgency)
        assert urgency.num_urgent() == 1
        work.train()
        assert work.fetch.urgency.step == 12
        assert work.fetch.urgency.num_urgent() == len(shards)
        assert work.fetch.fetcher.patience_s == pytest.approx(0.6)
        work.close()
    assert {"fetching", "fetched", "training", "uploading"} <= set(view.names)


def test_the_window_that_the_agent_assumes_is_the_trainers():
    from paris.experts.training.config import TrainingConfig

    assert TrainingConfig.model_fields["window_shards"].default == _WINDOW_SHARDS
