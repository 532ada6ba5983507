import json

import pytest
import torch
from closed_forms import gaussian, text
from tiny_sampling import draw

from paris.experts.errors import SamplingError
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.trace import RoutingTrace, TraceRecorder


def test_a_trace_is_what_the_router_said_at_each_step():
    said, generator = [], torch.Generator().manual_seed(4)

    def router(x, t):
        said.append((t[0].item(), torch.randn(len(x), 4, generator=generator)))
        return said[-1][1]

    recorder = TraceRecorder()
    experts = [gaussian(float(k), 0.5) for k in range(4)]
    draw(experts, router, text(3), range(3), num_steps=5, solver="heun", on_step=recorder)
    trace = recorder.trace()
    assert trace.times == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    # Heun asks twice a step: what counts for the step is what was said at its start.
    for moment, weights, (t, logits) in zip(trace.times, trace.weights, said[::2], strict=True):
        assert moment == pytest.approx(t)
        assert torch.equal(weights, Routing().weights(logits))


def test_a_summary_counts_shares_experts_and_switches():
    weights = torch.tensor(
        [
            [[1.0, 0.0, 0.0], [0.6, 0.4, 0.0]],
            [[0.3, 0.7, 0.0], [0.9, 0.1, 0.0]],
            [[0.8, 0.2, 0.0], [1.0, 0.0, 0.0]],
        ]
    )
    summary = RoutingTrace((0, 2, 5), (1.0, 0.6, 0.3), weights).summary()
    assert summary.share == pytest.approx([4.6 / 6, 1.4 / 6, 0.0])
    assert summary.experts_per_picture == pytest.approx(10 / 6)
    assert summary.best_weight == pytest.approx((1.0 + 0.7 + 0.8 + 0.6 + 0.9 + 1.0) / 6)
    assert summary.switches == pytest.approx((2 + 0) / 2)


def test_a_trace_is_read_back_from_its_text():
    weights = torch.tensor([[[0.25, 0.75]], [[1.0, 0.0]]])
    trace = RoutingTrace((1, 3), (1.0, 0.5), weights)
    again = RoutingTrace.from_json(trace.to_json())
    assert (again.experts, again.times) == ((1, 3), (1.0, 0.5))
    assert torch.equal(again.weights, weights)
    assert json.loads(trace.to_json())["weights"][0] == [[0.25, 0.75]]


@pytest.mark.parametrize(
    "words", ["", "[]", "{}", '{"experts": [0], "times": [1.0], "weights": [[[1.0, 0.0]]]}', '{"experts": 1}']
)
def test_a_text_that_is_no_trace_is_refused(words):
    with pytest.raises(SamplingError, match="trace"):
        RoutingTrace.from_json(words)


def test_a_run_without_steps_has_no_trace():
    with pytest.raises(SamplingError, match="nothing to trace"):
        TraceRecorder().trace()
