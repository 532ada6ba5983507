"""Charts: what they draw lies where the numbers say, by the browser's own reading of the SVG's text."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from paris.coordinator.page.charts import chart, spark, thinned

CURVE = [(step, 1.5 - step / 4000) for step in range(0, 4001, 10)]


def line(svg: ElementTree.Element, *, reference: bool = False) -> list[tuple[float, float]]:
    found = next(it for it in svg.iter("polyline") if (it.get("class") == "reference") == reference)
    return [tuple(map(float, point.split(","))) for point in found.get("points").split()]


def test_a_chart_draws_its_values_to_scale_with_the_reference_beside_them():
    box = ElementTree.fromstring(str(chart(CURVE, [(2000, 1.0), (4000, 0.5)], name="expert-1", most=80)))
    svg = box.find("svg")
    values, places = json.loads(svg.get("data-points")), line(svg)
    assert len(values) == len(places) == 80
    assert (values[0], values[-1]) == ([0, 1.5], [4000, 0.5])
    (left, top), (right, bottom) = places[0], places[-1]
    for (step, loss), (x, y) in zip(values, places, strict=True):
        assert x == pytest.approx(left + (right - left) * step / 4000, abs=0.1)
        assert y == pytest.approx(top + (bottom - top) * (1.5 - loss) / 1.0, abs=0.1)
    assert line(svg, reference=True) == [
        places[-1] if step == 4000 else pytest.approx((left + (right - left) / 2, (top + bottom) / 2), abs=0.1)
        for step in (2000, 4000)
    ]
    assert "expert-1: loss from 1.5 to 0.5 at step 4,000" in svg.get("aria-label")
    assert "style" not in str(ElementTree.tostring(box)), "the policy forbids style attributes"


def test_numbers_on_the_axes_are_round_and_inside():
    box = ElementTree.fromstring(str(chart([(7, 0.1234), (9134, 0.9876)], name="x")))
    losses = [float(it.text) for it in box.iter("text") if it.get("class") == "loss"]
    steps = [it.text for it in box.iter("text") if it.get("class") == "step"]
    assert losses == [0.2, 0.4, 0.6, 0.8]
    assert steps == ["0", "2k", "4k", "6k", "8k"]


def test_a_chart_is_small_enough_to_be_sent_again():
    noisy = [(step, 0.3 + (step * 7919 % 1000) / 9999) for step in range(0, 24_000, 10)]
    assert 8 * len(json.dumps(str(chart(noisy, name="expert-1", most=50)))) < 19_000, "the page of losses has eight"
    assert len(str(spark(noisy))) < 450


@pytest.mark.parametrize("points", [[], [(5, 1.0)]])
def test_fewer_than_two_points_are_no_curve(points):
    assert chart(points, name="x") == spark(points) == ""


def test_a_flat_or_short_curve_is_drawn_and_the_last_point_is_always_kept():
    for points in ([(0, 1.0), (1, 1.0)], [(3, 0.0), (3, 0.0)], [(1, -2.0), (2, -2.0)]):
        assert re.search(r"nan|inf", str(chart(points, name="x"))) is None
    assert thinned(CURVE, 7)[0] == CURVE[0]
    assert thinned(CURVE, 7)[-1] == CURVE[-1]
    assert len(thinned(CURVE, 7)) == 7
