"""The comparison with registered experts by itself, on losses from a table: each figure follows from its equation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from verify_world import BOUNDS, MODEL, World

from paris.coordinator.errors import NotReadyError
from paris.coordinator.verify import OtherCheckpoint
from paris.coordinator.verify.report import Check, CheckFailed, Checks
from paris.coordinator.verify.scoring import Losses
from paris.coordinator.verify.statistics import Resampled
from paris.coordinator.verify.yardsticks import compare_with_peers
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import Objective

ROWS = 4
EPSILON = {"kind": "epsilon"}
OWN_TERMS: dict[int, dict[int, float]] = {1: {0: 2.0, 1: 0.5}, 2: {0: 3.0, 2: 1.0}}
"""Cluster of an expert to its losses by cluster: on its own it is good, on cluster 0 worse than the candidate."""
CANDIDATE = {0: 1.0, 1: 3.0, 2: 3.0}
START = {0: 4.0, 1: 4.0, 2: 4.0}


def rows(losses: Mapping[int, float]) -> Losses:
    return {cluster: torch.full((ROWS,), loss) for cluster, loss in losses.items()}


class Table:
    """Losses of each model by the number in its weights, in its own or in shared terms; `asked`: what was scored."""

    def __init__(self, own: dict[int, dict[int, float]], shared: dict[int, dict[int, float]] | None = None) -> None:
        self.own, self.shared, self.asked = own, shared or {}, []

    def losses(
        self,
        weights: Mapping[str, torch.Tensor],
        clusters: Iterable[int],
        objective: Objective,
        *,
        comparable: bool = False,
        config: ModelConfig | None = None,
    ) -> Losses:
        number, clusters = int(weights["number"]), sorted(clusters)
        self.asked.append((number, clusters, objective.kind, comparable, config))
        known = (self.shared if comparable else self.own)[number]
        return rows({cluster: known[cluster] for cluster in clusters})


@pytest.fixture
def peer(tmp_path):
    def make(cluster: int, **fields: Any) -> OtherCheckpoint:
        path = tmp_path / f"{cluster}.safetensors"
        save_file({"number": torch.tensor([float(cluster)])}, path)
        facts = {"task_id": f"expert-{cluster}", "cluster": cluster, "sha256": "1" * 64, "volunteer": "2" * 64}
        return OtherCheckpoint(**{**facts, "path": path, "registered": True, **fields})

    return make


def compared(
    peers: list[OtherCheckpoint],
    table: Table,
    candidate: Mapping[int, float] = CANDIDATE,
    *,
    is_gain_known: bool = False,
    **bounds: float,
) -> Checks:
    checks = Checks()
    case = SimpleNamespace(task=World(Path(), "", "").task(0), bounds=BOUNDS.model_copy(update=bounds))
    weights, resampled = {"number": torch.zeros(1)}, Resampled(dict.fromkeys(START, ROWS), seed=1, samples=100)
    compare_with_peers(
        case, table, resampled, weights, rows(candidate), rows(START), peers, checks, is_gain_known=is_gain_known
    )
    return checks


def figures(checks: Checks) -> dict[str, tuple[float, float]]:
    return {check.name: (check.figure, check.bound) for check in checks.made}


def refusal(*arguments: Any, **facts: Any) -> Check:
    with pytest.raises(CheckFailed) as failed:
        compared(*arguments, **facts)
    return failed.value.check


def test_experts_of_one_objective_are_compared_by_lead_specialisation_and_gain(peer):
    table = Table(OWN_TERMS)
    checks = compared([peer(1), peer(2)], table)
    identities = log(2 / 1) + log(3 / 0.5), log(3 / 1) + log(3 / 1)
    assert figures(checks) == {
        "ahead-of-peers": (pytest.approx(log(2)), 0.0),
        "identity": (pytest.approx(identities[1]), pytest.approx(0.15 * sum(identities) / 2)),
        "gain-of-peers": (pytest.approx(1 - 1 / 4), pytest.approx(0.6 * (0.875 + 0.75) / 2)),
    }
    assert "ahead of expert-1, cluster 1" in checks.made[0].note
    assert "against expert-2, cluster 2" in checks.made[1].note
    assert [asked[:4] for asked in table.asked] == [(1, [0, 1], "flow", False), (2, [0, 2], "flow", False)]


def test_the_least_specialisation_is_asked_for_where_the_share_of_the_median_is_less(peer):
    bound = figures(compared([peer(1)], Table(OWN_TERMS), min_identity=0.5))["identity"][1]
    assert bound == 0.5


def test_the_gain_is_not_compared_where_a_reference_has_told_what_is_due(peer):
    assert set(figures(compared([peer(1)], Table(OWN_TERMS), is_gain_known=True))) == {"ahead-of-peers", "identity"}


def test_an_expert_that_is_behind_another_on_its_own_cluster_is_refused(peer):
    check = refusal([peer(1), peer(2)], Table(OWN_TERMS), {**CANDIDATE, 0: 2.5})
    assert (check.name, check.figure) == ("ahead-of-peers", pytest.approx(log(2 / 2.5)))


def test_a_second_expert_of_another_cluster_is_refused_however_easy_its_own_is(peer):
    twin = Table({1: {0: 2.02, 1: 0.51}})
    check = refusal([peer(1)], twin, {0: 2.0, 1: 0.5})
    assert (check.name, check.figure) == ("identity", pytest.approx(log(2.02 / 2) + log(0.5 / 0.51), abs=1e-6))


def test_an_expert_that_gained_much_less_than_the_others_is_refused(peer):
    early = {0: 2.2, 1: 3.9}
    check = refusal([peer(1)], Table({1: {0: 3.0, 1: 0.5}}), early)
    assert (check.name, check.figure) == ("gain-of-peers", pytest.approx(1 - 2.2 / 4))
    assert check.bound == pytest.approx(0.6 * 0.875)


def test_an_expert_of_another_objective_is_compared_by_identity_in_shared_terms(peer):
    shared = {0: {0: 10.0, 1: 40.0}, 1: {0: 15.0, 1: 5.0}}
    table = Table(OWN_TERMS, shared)
    checks = compared([peer(1, objective=EPSILON)], table)
    assert figures(checks) == {"identity": (pytest.approx(log(15 / 10 * 40 / 5)), pytest.approx(0.15 * log(12)))}
    assert checks.remarks == [
        "no registered expert of another cluster has its objective and size: compared by identity alone"
    ]
    assert [asked[:4] for asked in table.asked] == [(0, [0, 1], "flow", True), (1, [0, 1], "epsilon", True)]


def test_beside_one_of_another_objective_the_others_are_compared_in_full(peer):
    table = Table(OWN_TERMS, {0: {0: 10.0, 1: 40.0}, 1: {0: 15.0, 1: 5.0}})
    found = figures(compared([peer(1, objective=EPSILON), peer(2)], table))
    assert found["ahead-of-peers"][0] == pytest.approx(log(3))
    assert found["gain-of-peers"] == (pytest.approx(0.75), pytest.approx(0.6 * 0.75))
    assert table.asked[0][:2] == (0, [0, 1])


def test_an_expert_of_another_size_is_scored_as_its_own_model_and_compared_by_identity(peer):
    larger = MODEL.model_copy(update={"hidden_size": 96})
    table = Table(OWN_TERMS)
    checks = compared([peer(1, model=larger.to_settings())], table)
    assert figures(checks) == {"identity": (pytest.approx(log(12)), pytest.approx(0.15 * log(12)))}
    assert table.asked == [(1, [0, 1], "flow", False, larger)]


def test_without_a_registered_expert_nothing_is_compared():
    checks = compared([], Table({}))
    assert (checks.made, checks.remarks) == ([], [])


@pytest.mark.parametrize("lost", [{"path": None}, {"path": Path("none.safetensors")}])
def test_a_registered_expert_that_is_not_here_stops_the_verification_and_refuses_nobody(peer, lost):
    with pytest.raises(NotReadyError):
        compared([peer(1, **lost)], Table(OWN_TERMS))
