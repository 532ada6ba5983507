import math

import pytest
import torch

from paris.experts.errors import SamplingError, SettingsError
from paris.experts.sampling.routing import Posterior, Routing, RoutingRun


def loop_weights(logits, rule):
    """The rule, written for one row at a time in plain Python."""
    rows = []
    for row in logits.tolist():
        total = sum(math.exp(value) for value in row)
        p = {k: math.exp(value) / total for k, value in enumerate(row)}
        ranked = sorted(p, key=p.get, reverse=True)
        kept = [k for k in ranked if p[k] >= rule.threshold][: rule.max_experts] or ranked[:1]
        if p[ranked[0]] > rule.sure_above:
            kept = ranked[:1]
        rows.append([p[k] / sum(p[j] for j in kept) if k in kept else 0.0 for k in p])
    return torch.tensor(rows)


@pytest.mark.parametrize(
    "rule",
    [
        Routing(max_experts=1),
        Routing(max_experts=2),
        Routing(max_experts=None),
        Routing(max_experts=9),
        Routing(max_experts=None, threshold=0.1),
        Routing(max_experts=3, threshold=0.2),
        Routing(max_experts=None, threshold=1.0),
        Routing(max_experts=2, sure_above=0.6),
        Routing(max_experts=None, threshold=0.05, sure_above=0.5),
        Routing(sure_above=0.0),
    ],
)
def test_weights_are_those_of_the_rule_applied_row_by_row(rule):
    logits = torch.randn(60, 5, generator=torch.Generator().manual_seed(1)) * 2
    weights = rule.weights(logits)
    torch.testing.assert_close(weights, loop_weights(logits, rule))
    torch.testing.assert_close(weights.sum(1), torch.ones(60))


def test_names_mean_the_routings_of_the_papers():
    assert Routing.named("top1") == Routing(max_experts=1)
    assert Routing.named("top12") == Routing(max_experts=12)
    assert Routing.named("full") == Routing(max_experts=None)
    assert Routing.named("threshold") == Routing(max_experts=None, threshold=0.1)
    assert Routing() == Routing.named("top2")


@pytest.mark.parametrize("name", ["top0", "top", "top-2", "top02", "TOP2", "best", ""])
def test_an_unknown_routing_is_named_with_those_there_are(name):
    with pytest.raises(SamplingError, match=r"Unknown routing '.*top1, top2.*full, threshold"):
        Routing.named(name)


def test_a_routing_out_of_range_is_refused():
    for fields in ({"max_experts": 0}, {"threshold": 1.5}, {"sure_above": -0.1}, {"router_every": 0}, {"best": 1}):
        with pytest.raises(SettingsError):
            Routing.from_settings(fields)


def test_the_router_is_asked_at_every_nth_evaluation_and_its_weights_stay_in_between():
    asked = []

    def router(x, t):
        asked.append(t[0].item())
        return torch.tensor([[0.0, float(len(asked))]]).expand(len(x), -1)

    run = RoutingRun(Routing(max_experts=None, router_every=3), Posterior([0, 1], router))
    times = [1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05]
    weights = [run(torch.zeros(2, 1), torch.full((2,), t), t).weights for t in times]
    assert asked == pytest.approx([1.0, 0.4, 0.05])
    for number, answer in enumerate((0, 0, 0, 1, 1, 1, 2)):
        torch.testing.assert_close(weights[number], torch.tensor([[0.0, answer + 1.0]] * 2).softmax(1))


def test_rows_say_who_runs_on_what_and_nothing_is_listed_where_all_rows_agree():
    logits = torch.tensor([[5.0, 0.0, 4.0, -9.0], [5.0, 4.0, 0.0, -9.0], [5.0, 0.0, 4.0, -9.0]])
    run = RoutingRun(Routing(), Posterior(range(4), lambda x, t: logits))
    rows = run(torch.zeros(3, 1), torch.ones(3), 1.0).rows
    assert list(rows) == [0, 1, 2]
    assert rows[0] is None
    assert rows[1].tolist() == [1]
    assert rows[2].tolist() == [0, 2]


def test_a_router_that_says_nan_is_refused():
    logits = torch.tensor([[0.0, 1.0], [float("nan"), 0.0]])
    run = RoutingRun(Routing(), Posterior([0, 1], lambda x, t: logits))
    with pytest.raises(SamplingError, match="not finite"):
        run(torch.zeros(2, 1), torch.ones(2), 1.0)
