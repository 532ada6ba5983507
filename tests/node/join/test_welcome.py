"""Before a run's first join the volunteer is told what it is and takes, and is asked once, at a terminal alone."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import sys

import pytest
from PIL import Image

from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware
from paris.node.machine.home import Home
from paris.node.machine.machine import Machine
from paris.node.welcome.introduction import introduction_of, lines_of
from paris.node.welcome.picture import half_blocks

TOKEN = "volunteer-token-of-the-tests"


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def machine(tmp_path):
    config = NodeConfig(hours="22:00-07:00", not_while=("blender", "game"))
    return Machine(Home(tmp_path / "home"), config, Hardware("cpu", "a small CPU", 2**33, 2**35))


def test_the_lines_say_what_the_run_is_what_it_takes_and_when(make_coordinator, machine):
    coordinator = make_coordinator(20, 30)
    spec = coordinator.spec.model_copy(update={"leg_steps": 10, "name": "tiny\x1b[2J"})
    told = introduction_of(coordinator.run_id, spec, coordinator.tasks.values(), machine, "http://hub.example/")
    said = dict(lines_of(told, "a step takes 0.1 s"))
    assert (told.steps, told.num_open) == (30, 2)
    assert "\x1b" not in said["Run"]
    assert said["Work"].startswith("30 steps an expert, in legs of 10: you can stop at any time")
    assert said["Pictures"] == "http://hub.example/org/model"
    assert said["Machine"].startswith("a small CPU (cpu), 8.0 GiB of memory; an expert needs")
    assert said["Speed"] == "a step takes 0.1 s"
    assert told.download_bytes == max(manifest.num_bytes for manifest in coordinator.manifests)
    assert said["When"] == "hours = 22:00-07:00; not_while = blender, game"
    assert json.loads(json.dumps(told.fields))["manners"] == list(told.manners)


def test_a_run_without_tasks_is_introduced_too(make_coordinator, machine):
    coordinator = make_coordinator(20)
    said = dict(lines_of(introduction_of(coordinator.run_id, coordinator.spec, [], machine, "http://h"), None))
    assert said["Work"] == "the run has published no task yet"
    assert not {"Speed", "Download", "Disk"} & said.keys()


def test_a_picture_is_drawn_with_two_pixels_a_character_within_the_terminal():
    drawn = half_blocks(png(200, 100, (255, 0, 9)), 40)
    lines = drawn.plain.splitlines()
    assert (len(lines), {len(line) for line in lines}) == (10, {40})
    style = drawn.spans[0].style
    assert (style.color.triplet.hex, style.bgcolor.triplet.hex) == ("#ff0009", "#ff0009")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, png(64, 64, (0, 0, 0))[:50], b"GIF89a"])
def test_what_is_no_picture_is_not_drawn(data):
    assert half_blocks(data, 40) is None


def test_a_picture_of_very_many_pixels_is_not_decoded():
    data = bytearray(png(8, 8, (0, 0, 0)))
    data[16:24] = (60_000).to_bytes(4, "big") * 2  # the header's width and height
    assert half_blocks(bytes(data), 40) is None


def at_a_terminal(tmp_path, typed: bytes) -> tuple[int, str]:
    """Join at a terminal, answer the question; exit code, and what was shown."""
    command = ["-m", "paris.node.cli", "join", str(tmp_path / "run.json"), "--home", str(tmp_path / "home"), "--once"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(
            sys.executable,
            [sys.executable, *command, "--threads", "1"],
            {**os.environ, "COLUMNS": "80", "PARIS_HUB_TOKEN": TOKEN},
        )
    shown, is_typed = b"", False
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
            if b"Join tiny?" in shown and not is_typed:
                os.write(terminal, typed)
                is_typed = True
    except OSError:
        pass  # Linux says so when the other side has ended
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), re.sub(
        r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode("utf-8", "replace")
    )


def test_who_says_no_at_the_terminal_has_told_the_run_nothing(make_coordinator, tmp_path):
    coordinator = make_coordinator(20)
    code, shown = at_a_terminal(tmp_path, b"n\n")
    assert code == 0, shown
    assert "Not joined" in shown
    assert re.search(r"Speed +a step of 4 rows takes [\d.e-]+ s; an expert of 20 steps", shown), shown
    assert not coordinator.wants
    assert not Home(tmp_path / "home").agreed(coordinator.run_id).exists()


@pytest.mark.long
def test_who_says_yes_is_not_asked_again(make_coordinator, tmp_path):
    coordinator = make_coordinator(20, 20)
    code, shown = at_a_terminal(tmp_path, b"\n")
    assert code == 0, shown
    code, shown = at_a_terminal(tmp_path, b"")
    assert code == 0, shown
    assert "Join tiny?" not in shown
    assert len(coordinator.submissions) == 2


def test_without_a_terminal_the_introduction_is_an_event_and_nobody_is_asked(make_coordinator, start):
    coordinator = make_coordinator(20)
    node = start("--once")
    told = node.wait_for("introduction")
    assert (told["run_id"], told["num_experts"], told["steps"]) == (coordinator.run_id, 1, 20)
    assert node.wait_end() == 0
