"""A closed run: a node joins with an invite that is withdrawn, waits, and gets a task when the invite is restored."""

from __future__ import annotations

import json

import pytest
from deadlines import DEADLINE_S
from released_run import prepared_run
from swarm import wait_until
from typer.testing import CliRunner

from paris.coordinator.cli.app import app
from paris.coordinator.state.reading import read_state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("invited")


@pytest.fixture(scope="module")
def run(folder):
    """A prepared run that is closed to all but invited volunteers."""
    made = prepared_run(folder)
    settings = made.path / "run.toml"
    settings.write_text(settings.read_text("utf-8").replace("allowed_only = false", "allowed_only = true"))
    ordered(made, "publish-tasks")
    return made


@pytest.fixture(scope="module")
def coordinator(run, crew):
    serving = crew("coordinator", "paris-coord", "serve", str(run.path), "--json")
    wait_until(run.run_json.is_file, DEADLINE_S, "run.json")
    return serving


def ordered(run, name: str, *arguments: str) -> str:
    """What a command of the organiser's prints."""
    result = CliRunner().invoke(app, [name, str(run.path), *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_who_joins_with_a_withdrawn_invite_waits_until_it_is_restored(run, folder, coordinator, crew):
    made = json.loads(ordered(run, "invite", "--json"))
    ordered(run, "withdraw-invite", made["invite_id"][:8], "--reason", "posted in public")
    home = ("--home", str(folder / "ada"), "--name", "ada", "--threads", "1", "--device", "cpu", "--json")
    ada = crew("ada", "paris-node", "join", str(run.run_json), *home, "--invite", made["invite"])
    wait_until(lambda: coordinator.event("joined"), DEADLINE_S, "ada is seen")
    (row,) = json.loads(ordered(run, "invites", "--json"))["invites"]
    assert (row["withdrawn"], row["reason"], row["uses_left"]) == (True, "posted in public", 0)
    state = read_state(run)
    assert (len(state.volunteers), len(state.standings), len(state.leases)) == (1, 0, 0)
    ordered(run, "withdraw-invite", made["invite_id"], "--undo")
    wait_until(lambda: ada.event("leased"), DEADLINE_S, "ada has a task")
    assert ada.stop() == 0
    (row,) = json.loads(ordered(run, "invites", "--json"))["invites"]
    assert (row["withdrawn"], row["uses"], row["uses_left"], row["volunteers"]) == (False, 1, 0, ["ada"])
    assert "invite" in ordered(run, "invites")
