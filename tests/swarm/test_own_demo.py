"""The demo on somebody's own pictures: from a folder to the report, killed on the way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from swarm import Process, all_gone, command, wait_until

from paris.coordinator.demo.record import DemoRecord
from paris.coordinator.run.directory import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3000)]
COLOURS = ("red", "green", "blue", "orange", "purple", "black")


def draw_pictures(folder: Path) -> None:
    """72 discs and squares in six colours, of several sizes and formats, each with a caption beside it."""
    folder.mkdir()
    for number in range(72):
        colour, side = COLOURS[number % 6], 40 + 4 * (number % 9)
        shape, ending = ("disc", "png") if number % 2 else ("square", "jpg")
        picture = Image.new("RGB", (side, side + 8 * (number % 3)), "white")
        edge = 6 + number % 7
        box = (edge, edge, side - edge, side - edge)
        draw = ImageDraw.Draw(picture)
        draw.ellipse(box, fill=colour) if shape == "disc" else draw.rectangle(box, fill=colour)
        picture.save(folder / f"{number:02d}.{ending}")
        (folder / f"{number:02d}.txt").write_text(f"a {colour} {shape} of {side} pixels, number {number}")


def is_training(out: Path) -> bool:
    record = DemoRecord.load(out)
    return record is not None and record.state.stages_s.get("train", 0) > 5


def test_a_folder_becomes_a_report_although_the_demo_is_killed(tmp_path):
    draw_pictures(tmp_path / "pictures")
    out = tmp_path / "demo"
    own = ("paris-coord", "demo", "--data", str(tmp_path / "pictures"), "--out", str(out), "--minutes")
    refused = command(*own, "0.5")
    assert (refused.returncode, out.exists()) == (60, False)
    minutes = int(re.findall(r"Give --minutes (\d+)", refused.stderr)[0]) + 2
    arguments = (*own, str(minutes))
    demo = Process(tmp_path, "demo", *arguments)
    wait_until(lambda: is_training(out), 900, "it trains")
    everything = demo.tree()
    demo.kill()
    wait_until(lambda: all_gone(everything), 40, "no process is left")
    chosen = (out / "recipe.toml").read_text("utf-8")

    other = command(*own, "99")
    assert (other.returncode, f"--minutes {minutes}, not of --minutes 99" in other.stderr) == (61, True)
    again = Process(tmp_path, "again", *arguments)
    assert again.popen.wait(2400) == 0, again.stderr.read_text()
    assert (out / "recipe.toml").read_text("utf-8") == chosen
    assert "Chosen to end in about" in demo.stdout.read_text("utf-8")
    assert "Chosen to end in about" not in again.stdout.read_text("utf-8")
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert set(report["stages_s"]) == {*report["predicted_s"], "total"}
    assert sum(report["predicted_s"].values()) < minutes * 60
    assert all(verdict["accepted"] for verdict in report["verdicts"])
    config = RunDir.open(out / "run").config
    assert config.data["image_size"] == 32
    assert len(report["experts"]) == config.run.num_experts == 2
