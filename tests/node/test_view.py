from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import paris.node
from paris.node.view import EventKind, duration_in_words, make_view, sentence
from paris.node.view.events import SENTENCES
from paris.node.view.live import LiveView
from paris.node.view.schema import FIELDS, OPTIONAL, events_schema
from paris.node.view.views import JsonView, PlainView

TRAINING = {"task_id": "expert-1", "step": 30, "steps": 60, "loss": 0.123456, "steps_per_s": 2.0, "eta_s": 15.0}


SCHEMA = Path(__file__).parents[2] / "docs" / "events.schema.json"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _calls() -> Iterator[tuple[str, set[str], bool]]:
    """Every `X.event(EventKind.KIND, field=...)` of the node: the kind, its fields, and whether it has more by `**`."""
    for path in Path(paris.node.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith(".event"):
                continue
            kind = ast.unparse(call.args[0])
            if kind.startswith("EventKind."):
                fields = {keyword.arg for keyword in call.keywords}
                yield kind.removeprefix("EventKind."), fields - {None}, None in fields


def test_every_event_is_shown_somewhere_and_has_a_sentence():
    assert {kind for kind, _, _ in _calls()} == {kind.name for kind in EventKind}
    assert set(SENTENCES) == set(EventKind)


def test_every_call_gives_what_the_sentence_of_its_event_names():
    for kind, fields, has_more in _calls():
        sentence_fields = {field for _, field, _, _ in Formatter().parse(SENTENCES[EventKind[kind]]) if field}
        assert has_more or sentence_fields <= fields | {"task_id"}, kind


def test_every_call_gives_the_fields_that_the_schema_says():
    assert set(FIELDS) == set(EventKind)
    for name, fields, has_more in _calls():
        kind = EventKind[name]
        assert fields <= {*FIELDS[kind], *OPTIONAL.get(kind, {})}, name
        assert has_more or FIELDS[kind].keys() <= fields | {"task_id"}, name


def test_the_published_schema_is_that_of_the_events():
    """Written by `python tests/node/write_events_schema.py`."""
    assert json.loads(SCHEMA.read_text("utf-8")) == events_schema()


def test_json_gives_one_object_an_event_with_the_time_since_joining():
    clock, out = Clock(), io.StringIO()
    shown = JsonView(out, clock, clock)
    clock.now = 1012.5
    shown.event(EventKind.TRAINING, **TRAINING)
    assert json.loads(out.getvalue()) == {"event": "training", "at": 1012.5, "since_join_s": 12.5, **TRAINING}


def test_a_log_gets_a_line_of_training_every_ten_seconds_and_every_other_event():
    clock, out = Clock(), io.StringIO()
    shown = PlainView(out, clock, clock)
    for second in range(21):
        clock.now = 1000.0 + second
        shown.event(EventKind.TRAINING, **TRAINING)
    shown.event(EventKind.JOINED, run_id="r", name="ada", hardware="small CPU")
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert "expert-1: step 30 of 60, loss 0.1235, 2.00 steps/s, 15 s to go." in lines[0]
    assert lines[3].endswith("Joined run r as ada on small CPU.")


def test_with_quiet_only_problems_are_shown_and_the_log_has_everything(capsys, caplog):
    caplog.set_level("INFO", "paris.node.view.views")
    shown = make_view(as_json=False, is_quiet=True)
    shown.event(EventKind.WAITING, text="No task is open; waiting for one.")
    shown.event(EventKind.ERROR, what="It broke.", next_step="Fix it.", error_code="trainer")
    shown.close()
    assert capsys.readouterr().err.endswith(" Error [trainer]: It broke. Fix it.\n")
    assert caplog.messages == ["No task is open; waiting for one.", "Error [trainer]: It broke. Fix it."]


def test_an_error_is_shown_with_its_next_step():
    fields = {"what": "It broke.", "next_step": "Fix it.", "error_code": "trainer"}
    assert sentence(EventKind.ERROR, fields) == "Error [trainer]: It broke. Fix it."


def test_the_terminal_shows_sentences_and_leaves_nothing_behind(capsys):
    shown = LiveView()
    shown.event(EventKind.WAITING, text="No task is open; waiting for one.")
    shown.event(EventKind.TRAINING, **TRAINING, heartbeat_at=None)
    shown.event(EventKind.SNAPSHOT, task_id="expert-1", step=30, commitment="c" * 64)
    shown.event(EventKind.VERDICT, text="expert-1: accepted. [all] good")
    shown.close()
    said = capsys.readouterr().err
    assert "No task is open; waiting for one." in said
    assert "[all] good" in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (49, "49 s"), (90, "a minute"), (2400, "40 minutes"), (7200, "2 hours"), (4 * 86400, "4 days")],
)
def test_a_time_is_told_in_the_unit_that_a_person_would_take(seconds, words):
    assert duration_in_words(seconds) == words


def test_of_several_nodes_each_line_says_which_and_training_is_told_of_each():
    clock, out = Clock(), io.StringIO()
    shown = PlainView(out, clock, clock)
    for node in ("cuda:0", "cuda:1", "cuda:1"):
        shown.event(EventKind.TRAINING, **TRAINING, node=node)
    first, second = out.getvalue().splitlines()
    assert "cuda:0: expert-1: step 30 of 60" in first
    assert "cuda:1: expert-1: step 30 of 60" in second


def test_the_terminal_shows_the_state_of_each_of_several_nodes():
    shown = LiveView()
    try:
        shown.event(EventKind.NOTE, text="Of no node.")
        for node, step in (("cuda:0", 10), ("cuda:1", 20)):
            shown.event(EventKind.TRAINING, **{**TRAINING, "step": step}, heartbeat_at=None, node=node)
        lines = shown._drawn().plain.splitlines()
    finally:
        shown.close()
    titles = [line for line in lines if line.endswith(": training")]
    assert titles == ["cuda:0: expert-1: training", "cuda:1: expert-1: training"]
    assert any("step 10 of 60" in line for line in lines)
    assert any("step 20 of 60" in line for line in lines)
