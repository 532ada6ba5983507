"""Who did how much: on the terminal, as JSON, on the model card and in the report; and the way back to a kept state."""

from __future__ import annotations

import json

import pytest
from tick_world import PEOPLE, relay
from typer.testing import CliRunner

from paris.coordinator.cli.app import app
from paris.coordinator.errors import ConfigError, NotReadyError
from paris.coordinator.model_repo.card import progress_card
from paris.coordinator.report.tables import _markdown
from paris.coordinator.run.create import create_run
from paris.coordinator.service.ordering import give_order
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.reading import open_store, read_state


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in which two volunteers did three legs of an expert."""
    run = create_run(tmp_path_factory.mktemp("run") / "run", recipe="emoji")
    store = open_store(run)
    store.save(State(), relay(3), [], 0.0)
    store.close()
    return run


def test_the_leaderboard_names_each_volunteer_with_its_steps(run):
    shown = CliRunner().invoke(app, ["leaderboard", str(run.path)])
    assert shown.exit_code == 0, shown.output
    lines = [line for line in shown.output.splitlines() if "v0" in line or "v1" in line]
    assert [("400" in line, "66.7%" in line) for line in lines] == [(True, True), (False, False)]
    rows = json.loads(CliRunner().invoke(app, ["leaderboard", str(run.path), "--json"]).output)["volunteers"]
    assert [(row["public_key"], row["steps"], row["seconds"]) for row in rows] == [
        (PEOPLE[0].public_key, 400, 20.0),
        (PEOPLE[1].public_key, 200, 10.0),
    ]


def test_card_and_report_name_the_contributors_with_their_share(run):
    contributors = credits_of(read_state(run))
    card = progress_card(run, read_state(run), None)
    assert f"| `v0` (`{PEOPLE[0].public_key[:12]}`) | 400 | 66.7% | 0.0 |" in card
    facts = {"run_id": "r", "machine": {"system": "s", "cores": 1, "python": "3", "versions": {}}, "curves": {}}
    report = {**facts, "experts": [], "verdicts": [], "contributors": [vars(one) for one in contributors]}
    assert f"| v1 | {PEOPLE[1].public_key[:12]} | 200 | 33.3% | 0.00 |" in _markdown(report)


def test_a_roll_back_names_a_kept_step_or_is_refused_with_those_that_are_kept(run):
    for step in (600, 300):
        with pytest.raises(NotReadyError, match=rf"no kept state at step {step} .* from step 600.*Kept: 0, 200, 400\."):
            give_order(run, OrderKind.ROLL_BACK, "expert-0", step=step)
    with pytest.raises(NotReadyError, match="was not rolled back"):
        give_order(run, OrderKind.ROLL_FORWARD, "0")
    given = CliRunner().invoke(app, ["roll-back", str(run.path), "0", "--to", "400", "--reason", "cheat", "--json"])
    assert json.loads(given.output) == {"order": "roll-back", "subject": "expert-0", "reason": "cheat", "step": 400}
    store = open_store(run)
    assert list(store.orders().values()) == [Order(OrderKind.ROLL_BACK, "expert-0", "cheat", 400)]
    store.close()


@pytest.mark.parametrize("options", [[], ["--to", "5", "--undo"]])
def test_a_roll_back_needs_a_step_or_undo(run, options):
    refused = CliRunner().invoke(app, ["roll-back", str(run.path), "0", *options])
    assert isinstance(refused.exception, ConfigError)
