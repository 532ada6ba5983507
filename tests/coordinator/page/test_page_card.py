"""The picture of the public page for other sites says how far the run is, and is drawn again only when that changes."""

from __future__ import annotations

import io
from dataclasses import replace

from PIL import Image, ImageChops

from paris.coordinator.page import card
from paris.coordinator.page.card import CardFacts, Cards

FACTS = CardFacts(title="garden-birds", what="Birds", registered=3, num_tasks=8, percent=40, samples=None)


def picture(facts: CardFacts) -> Image.Image:
    return Image.open(io.BytesIO(Cards().png(facts)))


def bar_px(facts: CardFacts) -> int:
    """How far the bar is filled."""
    row = picture(facts).crop((0, 346, 1200, 347)).get_flattened_data()
    return sum(pixel == (0x2A, 0x6F, 0xDB) for pixel in row)


def test_the_bar_is_as_long_as_the_share_of_verified_steps():
    assert [bar_px(replace(FACTS, percent=percent)) for percent in (0, 50, 100)] == [0, 537, 1073]


def test_samples_are_beside_it_and_what_is_no_picture_is_left_out(tmp_path):
    Image.new("RGB", (300, 200), "#ff0000").save(tmp_path / "samples.png")
    shown = picture(replace(FACTS, samples=tmp_path / "samples.png"))
    assert shown.getpixel((1100, 315)) == (255, 0, 0)
    (tmp_path / "samples.png").write_bytes(b"none")
    assert picture(replace(FACTS, samples=tmp_path / "samples.png")).getpixel((1100, 315)) != (255, 0, 0)


def test_a_long_or_hostile_title_stays_inside():
    shown, right = picture(replace(FACTS, title="W\u202e\n" * 300)), (1137, 0, 1200, 630)
    assert ImageChops.difference(shown.crop(right), picture(FACTS).crop(right)).getbbox() is None


def test_a_picture_is_drawn_once_for_the_same_facts(monkeypatch):
    drawn = []
    monkeypatch.setattr(card, "_draw", lambda facts: drawn.append(facts) or b"png")
    cards = Cards()
    for facts in (FACTS, FACTS, replace(FACTS, percent=41)):
        assert cards.png(facts) == b"png"
    assert len(drawn) == 2
