"""A recipe extends a packaged one, or a file beside it; what cannot be extended is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from paris.coordinator.errors import ConfigError
from paris.coordinator.run.config import load_recipe
from paris.coordinator.run.create import create_run
from paris.coordinator.run.extending import merged


def recipe(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_file_extends_a_packaged_recipe(tmp_path):
    mine = load_recipe(recipe(tmp_path, "mine.toml", 'extends = "emoji"\n[run]\nname = "mine"\n[tasks]\nsteps = 7\n'))
    emoji = load_recipe("emoji")
    assert (mine.run.name, mine.tasks.steps) == ("mine", 7)
    assert mine.tasks.model_copy(update={"steps": emoji.tasks.steps}) == emoji.tasks
    assert mine.training == emoji.training


def test_a_file_extends_a_file_beside_it_and_init_writes_the_whole(tmp_path):
    (tmp_path / "below").mkdir()
    recipe(tmp_path / "below", "first.toml", 'extends = "emoji"\n[run]\nseed = 5\n')
    recipe(tmp_path, "second.toml", 'extends = "below/first.toml"\n[run]\nname = "second"\n')
    made = create_run(tmp_path / "run", recipe=str(tmp_path / "second.toml"))
    assert (made.config.run.name, made.config.run.seed) == ("second", 5)
    assert "extends" not in (tmp_path / "run" / "run.toml").read_text()


def test_a_packaged_recipe_extends_another():
    emoji, quick = load_recipe("emoji"), load_recipe("emoji-quick")
    assert quick.model == emoji.model
    assert quick.tasks.steps < emoji.tasks.steps
    assert quick.data["source"]["kind"] == "twemoji"


def test_one_of_two_exclusive_settings_replaces_the_other(tmp_path):
    text = 'extends = "emoji"\n[training]\nbatch_size = 3\n[data]\nheldout_fraction = 0.2\n'
    mine = load_recipe(recipe(tmp_path, "mine.toml", text))
    assert mine.expert_training["batch_size"] == 3
    assert "total_batch_size" not in mine.training
    legs = load_recipe(recipe(tmp_path, "legs.toml", 'extends = "dit-b-256"\n[tasks]\nleg_steps = 4000\n'))
    assert (legs.tasks.leg_steps, legs.tasks.leg_hours) == (4000, None)


def test_a_source_of_another_kind_replaces_the_whole_table():
    below = {"data": {"image_size": 8, "source": {"kind": "hub", "repo": "a/b", "split": "train"}}}
    above = {"data": {"source": {"kind": "folder", "path": "p"}}}
    assert merged(below, above) == {"data": {"image_size": 8, "source": {"kind": "folder", "path": "p"}}}
    same = {"data": {"source": {"repo": "c/d"}}}
    assert merged(below, same)["data"]["source"] == {"kind": "hub", "repo": "c/d", "split": "train"}


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ('"no-such"', "Unknown recipe 'no-such'"),
        ('"missing.toml"', "Unknown recipe 'missing.toml'"),
        ("3", "extends is 3"),
        ('"self.toml"', r"extends itself: .*self\.toml -> .*self\.toml"),
        ('"other.toml"', r"extends itself: .*self\.toml -> .*other\.toml -> .*self\.toml"),
        ('"broken.toml"', r"broken\.toml is not TOML"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path, below, message):
    recipe(tmp_path, "other.toml", 'extends = "./self.toml"\n')
    recipe(tmp_path, "broken.toml", "[run\n")
    name = recipe(tmp_path, "self.toml", f"extends = {below}\n")
    with pytest.raises(ConfigError, match=message):
        create_run(tmp_path / "run", recipe=name)
    assert not (tmp_path / "run").exists()


def test_a_wrong_field_is_named_with_the_recipe_that_was_asked_for(tmp_path):
    name = recipe(tmp_path, "mine.toml", 'extends = "emoji"\n[tasks]\nstepz = 3\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: tasks\.stepz"):
        load_recipe(name)
