"""The machine's speed is measured by real training steps, in processes of their own."""

from __future__ import annotations

import pytest

from paris.coordinator.demo.budget import ROUTER_BATCH
from paris.coordinator.demo.shapes import shapes_for
from paris.coordinator.demo.speed import measure_speed
from paris.coordinator.planning.measured import AUTO, MeasuredCase
from paris.experts.errors import SettingsError

TEXT = {"kind": "vocabulary", "dim": 64, "max_tokens": 8}


def test_steps_are_measured_and_carried_over_to_larger_shapes():
    shapes = shapes_for(64)
    case = MeasuredCase(model=shapes[0].model(TEXT), batch_size=8)
    machine = measure_speed([case], device=AUTO, num_workers=1, num_threads=1, budget_s=1.0)
    assert machine.device in ("cpu", "cuda", "mps")
    assert machine.start_s > 0.1
    steps = [machine.step_s(shape.model(TEXT), shape.batch_size) for shape in shapes]
    assert steps == sorted(steps)
    assert 1e-4 < steps[0] < 60
    assert 0 < machine.forward_row_s(case.model) < steps[0]
    assert machine.router_step_s(shapes[0].router(4), ROUTER_BATCH) > 0


def test_a_device_that_is_not_there_is_named_as_the_measuring_process_names_it():
    case = MeasuredCase(model=shapes_for(64)[0].model(TEXT), batch_size=8)
    with pytest.raises(SettingsError) as refused:
        measure_speed([case], device="nosuch", num_workers=1, num_threads=1)
    assert refused.value.what.startswith("Torch has no device 'nosuch' here: ")
    assert (refused.value.next_step, refused.value.exit_code) == ("Give another --device.", 21)
