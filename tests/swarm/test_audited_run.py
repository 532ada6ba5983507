"""Audits by volunteers, served: real nodes train each other's stretches again, and their sketches decide."""

from __future__ import annotations

import json

import pytest
from deadlines import DEADLINE_S
from swarm import command, join, serve_tiny

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.reading import read_state

pytestmark = pytest.mark.long
STEPS, LEG, EVERY = 80, 40, 20
_SETTINGS = {
    "steps = 240": f"steps = {STEPS}\nleg_steps = {LEG}",
    "snapshot_every = 30": f"snapshot_every = {EVERY}",
    "train_after = 2": "train_after = 0",
    "[sampling]": '[verify]\naudits = "volunteers"\naudit_draw_hours = 0.01\nreplay_rate = 1.0\n\n[sampling]',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("audits")


@pytest.fixture(scope="module")
def run(folder, crew):
    """A served run of two experts in two legs each, every one of which is audited."""
    return serve_tiny(folder, crew, _SETTINGS)


@pytest.fixture(scope="module")
def volunteers(run, folder, crew):
    """Two nodes that work until the run is complete."""
    nodes = {name: join(run, crew, name) for name in ("ada", "ben")}
    for node in nodes.values():
        assert node.popen.wait(4 * DEADLINE_S) == 0, node.stderr.read_text()
    return nodes


def test_the_run_is_completed_and_its_verdicts_name_auditors(volunteers, run):
    state = read_state(RunDir.open(run))
    assert state.is_complete
    notes = [
        rung.note
        for known in state.submissions.values()
        if known.verdict is not None and known.verdict.accepted
        for rung in known.verdict.rungs
        if rung.rung == "replay"
    ]
    assert len(notes) == 2 * STEPS // LEG
    audited = [note for note in notes if "audited, equal in every bit, by " in note]
    assert audited
    assert {note.partition(", by ")[2].partition(" ")[0] for note in audited} <= {"ada", "ben"}
    for audit in state.audits.values():
        assert audit.outcome == "right"
        assert audit.volunteer != state.submissions[audit.leg].signer


def test_nodes_say_what_they_audit_and_are_credited(volunteers, run):
    shown = [event for node in volunteers.values() for event in node.events if event["event"] == "auditing"]
    state = read_state(RunDir.open(run))
    assert len(shown) == len(state.audits) > 0
    assert all(event["end_step"] - event["start_step"] == EVERY for event in shown)
    result = command("paris-coord", "leaderboard", str(run), "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["volunteers"]
    assert sum(row["audited_steps"] for row in rows) == EVERY * len(shown)
