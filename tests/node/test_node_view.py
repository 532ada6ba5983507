from __future__ import annotations

import io
import json
import re
from pathlib import Path

import paris.node
from paris.node import view as view_module
from paris.node.view import JsonView, PlainView, ProgressView, sentence

TRAINING = {"task_id": "expert-1", "step": 30, "steps": 60, "loss": 0.123456, "steps_per_s": 2.0, "eta_s": 15.0}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_every_event_that_the_node_emits_has_a_sentence():
    sources = [path.read_text("utf-8") for path in Path(paris.node.__file__).parent.glob("*.py")]
    emitted = {
        name for text in sources for name in re.findall(r'(?:view|work|self|_work)\.event\(\s*"([a-z-]+)"', text)
    }
    assert len(emitted) > 15
    assert emitted <= set(view_module._SENTENCES)


def test_json_gives_one_object_an_event_with_the_time_since_joining():
    clock, out = Clock(), io.StringIO()
    shown = JsonView(out, clock)
    clock.now = 1012.5
    shown.event("training", **TRAINING)
    assert json.loads(out.getvalue()) == {"event": "training", "at": 1012.5, "since_join_s": 12.5, **TRAINING}


def test_a_log_gets_a_line_of_training_every_ten_seconds_and_every_other_event():
    clock, out = Clock(), io.StringIO()
    shown = PlainView(out, clock)
    for second in range(21):
        clock.now = 1000.0 + second
        shown.event("training", **TRAINING)
    shown.event("joined", run_id="r", name="ada", hardware="small CPU")
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert "expert-1: step 30 of 60, loss 0.1235, 2.00 steps/s, 15 s to go." in lines[0]
    assert lines[3].endswith("Joined run r as ada on small CPU.")


def test_an_error_is_said_with_its_next_step():
    assert sentence("error", {"what": "It broke.", "next_step": "Mend it."}) == "Error: It broke. Mend it."


def test_the_terminal_shows_sentences_and_leaves_nothing_behind(capsys):
    shown = ProgressView()
    shown.event("waiting", text="No task is open; waiting for one.")
    shown.event("training", **TRAINING, heartbeat_at=None)
    shown.event("snapshot", task_id="expert-1", step=30, commitment="c" * 64)
    shown.event("verdict", text="expert-1: accepted. [all] good")
    shown.close()
    said = capsys.readouterr().err
    assert "No task is open; waiting for one." in said
    assert "[all] good" in said
