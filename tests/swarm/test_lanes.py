"""Two nodes train one expert side by side in a served run; service/test_lanes_served.py shows it without nodes."""

from __future__ import annotations

import pytest
from deadlines import DEADLINE_S
from swarm import join, serve_tiny, wait_until

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.reading import read_state

pytestmark = [pytest.mark.slow, pytest.mark.long]
STEPS, LEG, EVERY = 120, 40, 20
_SETTINGS = {
    "num_experts = 2": "num_experts = 1",
    "steps = 240": f"steps = {STEPS}\nleg_steps = {LEG}\nlanes = 2",
    "snapshot_every = 30": f"snapshot_every = {EVERY}",
    "train_after = 2": "train_after = 0",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lanes")


def test_two_nodes_train_one_expert_side_by_side(folder, crew):
    run = serve_tiny(folder, crew, _SETTINGS)

    nodes = [join(run, crew, "ada"), join(run, crew, "ben")]
    is_done = lambda: read_state(RunDir.open(run)).is_complete  # noqa: E731
    wait_until(is_done, 4 * DEADLINE_S, "the expert is registered")
    state = read_state(RunDir.open(run))
    assert state.tasks["expert-0"].registration.steps == STEPS
    assert [one.step for one in state.tasks["expert-0"].rounds] == [LEG, 2 * LEG]
    assert sum(credit.steps for credit in credits_of(state)) == 2 * 2 * LEG + (STEPS - 2 * LEG)
    assert {len([event for event in node.events if event["event"] == "leg"]) for node in nodes} == {2, 3}
