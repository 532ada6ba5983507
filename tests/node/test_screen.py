"""The live view, at any width, and the state that it shows."""

from __future__ import annotations

import math

import pytest

from paris.node.view import EventKind
from paris.node.view.board import NodeStatus, after
from paris.node.view.screen import screen, sparkline

NOW = 1000.0
TRAINING = {
    "task_id": "expert-3",
    "step": 730,
    "steps": 4000,
    "loss": 0.12345,
    "steps_per_s": 2.4,
    "eta_s": 112.5,
    "heartbeat_at": 997.0,
    "peers": 4,
    "gpu_temperature_c": 71.0,
    "gpu_power_w": 209.6,
}


def told(*events: tuple[EventKind, dict]) -> NodeStatus:
    status = NodeStatus()
    for kind, fields in events:
        status = after(status, kind, fields, NOW - 20)
    return status


JOINED = (EventKind.JOINED, {"run_id": "r", "name": "ada", "hardware": "A40", "device": "cuda", "credit_steps": 1200})
LEASED = (EventKind.LEASED, {"task_id": "expert-3", "attempt": 1, "steps": 4000, "cluster": 3})
LEG = (EventKind.LEG, {"task_id": "expert-3", "start_step": 500, "end_step": 1000, "steps": 4000, "takes": "4 minutes"})
SNAPSHOT = (EventKind.SNAPSHOT, {"task_id": "expert-3", "step": 720, "commitment": "c" * 64})
AT_WORK = told(
    JOINED,
    LEASED,
    LEG,
    *[(EventKind.TRAINING, {**TRAINING, "loss": 1 / n}) for n in range(1, 9)],
    (EventKind.TRAINING, TRAINING),
    SNAPSHOT,
)


def test_the_view_has_what_a_volunteer_asks_for():
    assert screen(AT_WORK, NOW, 79, has_blocks=False) == [
        "expert-3: training",
        "step 730 of 1000, 46 %   leg 500 to 1000 of 4000   loss 0.1235   2.40 steps/s",
        "a minute to go",
        "snapshot 720, 20 s ago   heartbeat 3 s ago   4 peers   GPU 71 C   210 W",
        "1200 steps credited",
    ]


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(columns):
    lines = screen(AT_WORK, NOW, columns, has_blocks=True)
    assert max(map(len, lines)) <= columns
    if columns >= 40:
        text = " ".join(lines)
        assert all(word in text for word in ("expert-3", "730", "loss 0.1235", "720", "4 peers", "71 C", "1200"))


def test_a_terminal_without_blocks_gets_ascii_alone():
    assert "".join(screen(AT_WORK, NOW, 40, has_blocks=False)).isascii()
    assert not "".join(screen(AT_WORK, NOW, 40, has_blocks=True)).isascii()


def test_a_pause_says_why_in_the_first_lines():
    pause = {
        "task_id": "expert-3",
        "text": "",
        "reason": "battery",
        "why": "on battery",
        "until": None,
        "kept_until": 2.0,
    }
    status = after(AT_WORK, EventKind.PAUSED, pause, NOW)
    lines = screen(status, NOW, 40, has_blocks=False)
    assert lines[0] == "expert-3: paused"
    assert lines[1].startswith("on battery   step 730")
    resumed = after(status, EventKind.RESUMED, {"task_id": "expert-3", "text": "It goes on."}, NOW)
    assert (resumed.state, resumed.why, resumed.kept_until) == ("resuming", None, None)


def test_after_a_verdict_the_task_is_gone_and_its_steps_are_credited():
    verdict = {"task_id": "expert-3", "text": "", "accepted": True, "credit_steps": 500}
    status = after(AT_WORK, EventKind.VERDICT, verdict, NOW)
    assert (status.task_id, status.step, status.losses, status.credit_steps) == (None, None, (), 1700)
    assert after(AT_WORK, EventKind.VERDICT, {**verdict, "accepted": False}, NOW).credit_steps == 1200
    whole = after(told(JOINED, LEASED), EventKind.VERDICT, {**verdict, "credit_steps": None}, NOW)
    assert whole.credit_steps == 5200


def test_losses_that_are_not_finite_are_not_drawn():
    status = NodeStatus()
    for step, loss in enumerate((1.0, math.inf, math.nan, 2.0), start=1):
        status = after(status, EventKind.TRAINING, {**TRAINING, "step": step, "loss": loss}, NOW)
    assert status.losses == (1.0, 2.0)


def test_a_sparkline_falls_with_the_losses():
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == "\u2588\u2587\u2586\u2585\u2584\u2583\u2582\u2581"
    assert sparkline([1.0] * 5, 3) == "\u2581" * 3
    assert len(sparkline(list(range(1000)), 40)) == 40
    assert sparkline([4, 2, 3, 1], 2) == "\u2588\u2581"


def test_an_upload_shows_how_far_it_is_how_fast_and_what_is_left():
    begun = (EventKind.UPLOADING, {"task_id": "expert-3", "num_bytes": 40_000_000})
    sent = {"task_id": "expert-3", "num_bytes": 40_000_000, "bytes_per_s": 250_000.0}
    assert "40.0 MB" in screen(told(JOINED, LEASED, begun), NOW, 80, has_blocks=False)
    status = told(JOINED, LEASED, begun, (EventKind.UPLOADED, {**sent, "sent_bytes": 10_000_000}))
    assert status.upload_share == 0.25
    assert "10.0 of 40.0 MB, 25 %   0.25 MB/s   2 minutes to go" in screen(status, NOW, 80, has_blocks=False)
    resumed = told(JOINED, LEASED, (EventKind.UPLOADED, {**sent, "sent_bytes": 10_000_000, "bytes_per_s": 0.0}))
    assert (resumed.state, resumed.last) == ("uploading", told(JOINED, LEASED).last)
    assert "10.0 of 40.0 MB, 25 %" in screen(resumed, NOW, 80, has_blocks=False)
    handed_in = told(
        JOINED, begun, (EventKind.UPLOADED, {**sent, "sent_bytes": 1}), (EventKind.AWAITING_VERDICT, {"task_id": "e"})
    )
    assert handed_in.upload_share is None
