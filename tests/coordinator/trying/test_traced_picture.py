"""A picture with its stages, its trace as a strip and a table, and all of it as files that need no server."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tiny_release import NUM_STEPS, SIZE, write_tiny_release

from paris.coordinator.trying.__main__ import answer_of
from paris.coordinator.trying.asking import parse_form
from paris.coordinator.trying.drawing import about, draw_traced
from paris.coordinator.trying.export import write_gallery
from paris.coordinator.trying.messages import Ask, Drawn, Refused, Stage
from paris.coordinator.trying.strip import strip_of
from paris.experts.pipeline.drawing import draw
from paris.experts.release.model import load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_tiny_release(tmp_path_factory.mktemp("tried")), device="cpu")


@pytest.fixture(scope="module")
def drawn(model):
    return draw_traced(model, Ask(prompt="red heart", seed=5, routing="full", steps=3))


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def traced(*weights: tuple[float, ...]) -> Drawn:
    """A picture of so many steps, with these weights."""
    stage = Stage(step=len(weights), t=0.0, picture="")
    times = tuple(1 - k / len(weights) for k in range(len(weights)))
    return Drawn(
        picture="", stages=(stage,), experts=tuple(range(len(weights[0]))), times=times, weights=weights, seconds=1.0
    )


def test_the_picture_is_the_one_that_the_same_settings_draw_elsewhere(model, drawn):
    settings = model.sampling.with_overrides(num_steps=3, routing="full")
    assert np.array_equal(pixels(drawn.picture), draw(model, ["red heart"], [5], settings)[0])
    assert [stage.step for stage in drawn.stages] == [1, 2, 3]
    assert drawn.stages[-1].picture == drawn.picture
    assert [stage.t for stage in drawn.stages] == pytest.approx([*drawn.times[1:], 0.0])
    assert not np.array_equal(pixels(drawn.stages[0].picture), pixels(drawn.picture))
    assert [sum(row) for row in drawn.weights] == pytest.approx([1.0] * 3, abs=1e-5)
    assert drawn.notes == ()


def test_without_settings_they_are_the_model_s_own(model):
    told = about(model)
    assert (told.name, told.num_experts, told.steps, told.guidance, told.routing) == ("Tiny", 3, 4, 2.0, "top2")
    drawn = draw_traced(model, Ask(prompt="red dragon"))
    assert len(drawn.weights) == NUM_STEPS
    assert all(sum(weight > 0 for weight in row) == 2 for row in drawn.weights)
    assert drawn.notes == ("1 words are not in the vocabulary and left out: dragon.",)


def test_many_steps_keep_few_stages(model):
    drawn = draw_traced(model, Ask(prompt="red", steps=12))
    assert (len(drawn.weights), len(drawn.stages)) == (12, 8)
    assert drawn.stages[-1].step == 12


def test_what_the_model_cannot_do_is_a_sentence(tmp_path):
    silent = load_model(write_tiny_release(tmp_path, reads_text=False), device="cpu")
    assert not about(silent).reads_text
    answer = answer_of(silent, Ask(prompt="red").model_dump_json().encode())
    assert isinstance(answer, Refused)
    assert "reads no text" in answer.message
    assert isinstance(answer_of(silent, b"{}"), Drawn)
    assert isinstance(answer_of(silent, b'{"seed": -1}'), Refused)


def test_the_strip_has_a_column_for_each_step_and_heights_that_are_the_weights():
    strip = strip_of(traced((0.75, 0.25, 0.0), (0.0, 1.0, 0.0)))
    found = re.findall(
        r'<rect x="([0-9.]+)" y="([0-9.]+)" width="([0-9.]+)" height="([0-9.]+)" fill="(#\w+)"', strip.svg
    )
    first, second, third = [tuple(map(float, place)) for *place, _ in found]
    assert (first[0], second[0], third[0]) == (0, 0, first[2])
    assert second[3] / first[3] == pytest.approx(3)
    assert third[3] == pytest.approx(first[3] + second[3], abs=0.02)
    assert second[1] == pytest.approx(first[1] + first[3], abs=0.02)
    assert strip.experts == (1, 0)
    assert strip.shares == (0.625, 0.375)
    colours = dict(zip(strip.experts, strip.colours, strict=True))
    assert [colour for *_, colour in found] == [colours[1], colours[0], colours[1]]
    assert [row.weights for row in strip.rows] == [(0.25, 0.75, 0.0), (1.0, 0.0, 0.0)]
    assert "experts 1, 0 at each of 2 steps" in strip.svg


def test_of_many_experts_the_smallest_are_shown_together():
    strip = strip_of(traced(tuple(k / 66 for k in range(12))))
    assert (len(strip.experts), strip.has_others) == (10, True)
    assert strip.experts[0] == 11
    assert strip.rows[0].weights[-1] == pytest.approx(1 / 66, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"seed=-1", ["Seed: give a whole number from 0 to 4294967295."]),
        (
            b"steps=201&guidance=nan",
            ["Guidance: give a number from 0 to 30.", "Steps: give a whole number from 1 to 200."],
        ),
        (b"routing=best", ["Routing: give one of ancestral, top1, top2, top3, full, threshold."]),
        (b"prompt=" + b"a" * 501, ["Prompt: give a text of at most 500 characters."]),
        (b"\xff", ["The form cannot be read."]),
        (b"&".join(b"a=1" for _ in range(9)), ["The form cannot be read."]),
    ],
)
def test_what_is_out_of_bounds_is_named_with_its_bounds(body, wrong):
    ask, _, said = parse_form(body)
    assert (ask, said) == (None, wrong)


def test_empty_fields_are_the_model_s_own_settings():
    ask, sent, wrong = parse_form(b"prompt=a+red+heart&seed=7&routing=&guidance=1.5&steps=&more=1")
    assert (ask, wrong) == (Ask(prompt="a red heart", seed=7, guidance=1.5), [])
    assert sent["steps"] == ""


class Sources(HTMLParser):
    """What a page loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("src", "href") if name in given]


def test_a_gallery_needs_no_server_and_no_script(model, drawn, tmp_path):
    hostile = Ask(prompt='<script>alert("x")</script>\u202e', seed=5)
    write_gallery(about(model), [(Ask(prompt="red heart", seed=5), drawn), (hostile, drawn)], tmp_path / "gallery")
    html = (tmp_path / "gallery" / "index.html").read_text("utf-8")
    page = Sources(html)
    local = [source for source in page.found if not source.startswith(("data:,", "#"))]
    assert len(local) == 1 + 2 * (3 + 1)
    assert all((tmp_path / "gallery" / source).is_file() for source in local)
    assert "script" not in page.tags
    assert "\u202e" not in html
    with Image.open(tmp_path / "gallery" / "pictures" / "1.png") as picture:
        assert picture.size == (SIZE, SIZE)
    trace = json.loads((tmp_path / "gallery" / "traces" / "2.json").read_text())
    assert trace["weights"] == [list(row) for row in drawn.weights]
    assert trace["prompt"] == hostile.prompt
