"""What a demo decides by itself about somebody's own pictures, and the settings that it runs with. Pure."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from paris.coordinator.cli.demo_options import DemoOptions, start_demo
from paris.coordinator.demo.budget import Budget, Facts, choose
from paris.coordinator.demo.choosing import Asked
from paris.coordinator.demo.own_run import demo_options, run_own_demo
from paris.coordinator.demo.record import RECORD, DemoRecord, DemoState
from paris.coordinator.demo.settings import (
    LENIENT_BOUNDS,
    OwnPictures,
    expectation,
    facts_of,
    load_note,
    own_pictures,
    reasons,
    settings,
    volunteers_note,
)
from paris.coordinator.demo.shapes import shapes_for
from paris.coordinator.demo.speed import MachineSpeed
from paris.coordinator.demo.stages import require_progress
from paris.coordinator.errors import ConfigError, NotReadyError, RunDirError
from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.facts import facts_before
from paris.coordinator.planning.speed import Speed
from paris.coordinator.prepare.errors import EmptySourceError, PrepareConfigError, TooFewRowsError
from paris.coordinator.prepare.sources.settings import FolderSource, HubSource
from paris.coordinator.proposal.findings import Captions, Pictures, Survey
from paris.coordinator.run.config import RunConfig, dump_config, load_recipe, parse_config
from paris.coordinator.run.shapes import expert_shape, router_shape
from paris.coordinator.verify import VerificationBounds

LAPTOP = MachineSpeed("cpu", 2, 1, start_s=2.5, speed=Speed(flops_per_s=3e10, layer_s=2e-3))
OWN = Captions(own=300, classes_only=0, without=0, distinct=280, several=0, words_p95=12, examples=("a red bus",))
SURVEY = Survey(
    source=FolderSource(path=Path("/pictures")),
    place="/pictures",
    rows=300,
    dropped={},
    captions=OWN,
    pictures=Pictures(sampled=300, sides=(72,) * 300, aspects=(1.0,) * 300),
    licences={"unknown": 300},
    opted_out=0,
)
CLASSES = replace(OWN, own=0, classes_only=300, distinct=3, class_names={"cat": 100, "dog": 100, "fox": 100})
NOTHING = replace(OWN, own=0, without=300, distinct=0, words_p95=0, examples=())


def budget_of(own: OwnPictures, minutes: float = 10) -> tuple[Facts, Budget]:
    facts = facts_of(own, decode_s=0.003)
    return facts, choose(facts, shapes_for(own.side_px), LAPTOP, total_s=60 * minutes, spent_s=15)


@pytest.mark.parametrize("captions", [OWN, CLASSES, NOTHING], ids=["own", "classes", "nothing"])
def test_the_settings_are_a_run_that_plan_finds_nothing_wrong_with(captions):
    own = own_pictures(replace(SURVEY, captions=captions))
    facts, budget = budget_of(own)
    config = settings(own, budget, LAPTOP)
    assert parse_config(dump_config(config), "recipe.toml") == config
    assert config.run.num_experts == budget.num_experts
    assert config.tasks.steps == budget.steps
    assert config.expert_training["batch_size"] == budget.shape.batch_size
    assert config.data.get("max_images", SURVEY.rows) == budget.num_rows
    assert expert_shape(config) == budget.shape.model(config.text)
    assert router_shape(config, reads_prompt=False) == budget.shape.router(budget.num_experts)
    problems = make_plan(facts_before(config, budget.num_rows), volunteers=budget.num_workers).problems
    assert [problem.what for problem in problems if problem.refuses] == []
    assert {reason.setting for reason in reasons(own, facts, budget, LAPTOP)} >= {"pictures", "size", "steps"}


def test_pictures_without_caption_or_class_are_learned_without_text():
    own = own_pictures(replace(SURVEY, captions=NOTHING))
    _, budget = budget_of(own)
    assert settings(own, budget, LAPTOP).text == {"kind": "none"}
    assert [note.setting for note in own.notes] == ["text.kind"]
    assert "Prompt it" not in expectation(*budget_of(own))


def test_a_data_set_without_a_licence_is_used_on_this_machine_and_says_so():
    own = own_pictures(replace(SURVEY, source=HubSource(repo="org/pictures")))
    assert own.wishes.licence == "unknown"
    assert "publish nothing" in own.notes[0].why


def test_fewer_pictures_than_two_experts_need_are_refused():
    few = replace(SURVEY, rows=39, captions=replace(OWN, own=39))
    with pytest.raises(TooFewRowsError, match="39 pictures that can be used; two experts of 20 need 40"):
        own_pictures(few)
    own_pictures(replace(few, rows=40, captions=replace(OWN, own=40)))


def test_near_copies_that_are_left_out_are_not_counted():
    copies = replace(SURVEY.pictures, near_duplicates=75)
    assert own_pictures(replace(SURVEY, pictures=copies)).rows == 225
    few = replace(SURVEY, pictures=copies, rows=48, captions=replace(OWN, own=48))
    with pytest.raises(TooFewRowsError, match="has 36 pictures that can be used; two experts") as refused:
        own_pictures(few)
    assert "near copies" in refused.value.next_step
    assert "--experts" not in str(refused.value)


def test_the_router_has_the_share_that_is_stated():
    own = own_pictures(SURVEY)
    facts, budget = budget_of(own)
    router_s = budget.router_steps * LAPTOP.router_step_s(budget.shape.router(budget.num_experts), 32)
    experts_s = budget.num_experts / budget.num_workers * budget.steps * budget.step_s
    whys = {reason.setting: reason.why for reason in reasons(own, facts, budget, LAPTOP)}
    assert whys["router steps"] == f"{router_s / (router_s + experts_s):.0%} of the time of training."
    long = replace(budget, steps=100 * budget.steps)
    assert {reason.setting: reason.why for reason in reasons(own, facts, long, LAPTOP)}["router steps"] != whys[
        "router steps"
    ]


def test_volunteers_beyond_the_experts_are_left_out_and_it_is_said():
    assert volunteers_note(None, 2) == volunteers_note(2, 2) == ()
    assert volunteers_note(50, 4)[0].value == "4"


def test_pictures_that_are_all_too_small_are_refused():
    small = replace(SURVEY, pictures=Pictures(sampled=300, sides=(12,) * 300, aspects=(1.0,) * 300))
    with pytest.raises(PrepareConfigError, match="should reach 16 px, the median of the shorter sides is 12 px"):
        own_pictures(small)


def test_pictures_of_28_px_are_learned_at_28_px():
    small = replace(SURVEY, pictures=Pictures(sampled=300, sides=(28,) * 300, aspects=(1.0,) * 300))
    own = own_pictures(small)
    _, budget = budget_of(own)
    config = settings(own, budget, LAPTOP)
    assert (config.data["image_size"], expert_shape(config).image_size) == (28, 28)


def test_steps_that_would_only_repeat_the_pictures_are_left_out_and_it_is_said():
    own = own_pictures(SURVEY)
    facts, budget = budget_of(own, minutes=600)
    assert budget.passes == pytest.approx(3000, rel=0.01)
    assert sum(budget.predicted_s.values()) < 600 * 60 / 2
    assert any("only repeat" in reason.why for reason in reasons(own, facts, budget, LAPTOP))


def test_what_to_expect_follows_the_passes_and_the_captions():
    own, classes = own_pictures(SURVEY), own_pictures(replace(SURVEY, captions=CLASSES))
    facts, budget = budget_of(own)
    assert "by heart" in expectation(facts, budget)
    assert "outlines" in expectation(facts, replace(budget, steps=budget.steps // 4))
    facts, budget = budget_of(classes)
    many = replace(budget, num_rows=int(budget.passes * budget.num_rows / 100))
    assert "what the caption names" in expectation(facts, many)
    assert "by heart" in expectation(*budget_of(classes, minutes=30))


def rejected(task: str, attempt: int, reason: str) -> dict:
    return {"task_id": task, "attempt": attempt, "verdict": {"accepted": False, "reason": reason}}


def test_a_demo_ends_where_the_same_work_is_rejected_again_and_not_before():
    waiting = {"task_id": "expert-1", "attempt": 3, "verdict": None}
    once = [rejected("expert-1", 1, "skill/gain: 0.1"), rejected("expert-1", 2, "skill/gain: 0.2"), waiting]
    require_progress({"submissions": [*once, rejected("expert-0", 1, "skill/gain: 0.1")]})
    with pytest.raises(NotReadyError, match=r"expert-1: the same work was rejected twice: skill/gain: 0\.1") as caught:
        require_progress({"submissions": [*once, rejected("expert-1", 3, "skill/gain: 0.1")]})
    assert "[verify]" in caught.value.next_step


def test_the_bounds_of_a_demo_are_bounds():
    assert VerificationBounds.model_validate(LENIENT_BOUNDS).min_ahead < 0


def test_other_work_on_the_machine_is_named():
    assert load_note(1.2, 2) == ()
    assert load_note(17.6, 2)[0].value == "18 on 2 cores"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (DemoOptions(False, None, None, 5.0, None, None), "--minutes 5.0 needs --data"),
        (DemoOptions(False, None, None, None, "cuda", None), "--device cuda needs --data"),
        (DemoOptions(False, None, "pictures", math.inf, None, None), "--minutes inf is out of range"),
        (DemoOptions(False, None, "pictures", math.nan, None, None), "--minutes nan is out of range"),
        (DemoOptions(False, None, "pictures", 10081.0, None, None), "--minutes 10081 is out of range"),
        (DemoOptions(False, None, "pictures", 0.0, None, None), "--minutes 0 is out of range"),
        (DemoOptions(True, None, "pictures", None, None, None), "--quick names others"),
        (DemoOptions(False, "emoji", "pictures", None, None, None), "--recipe emoji names others"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        start_demo(tmp_path / "demo", options, overwrite=False)
    assert not (tmp_path / "demo").exists()


def test_other_pictures_or_minutes_are_refused_before_anything_is_measured(tmp_path):
    options = {"--data": str(tmp_path / "mine"), "--minutes": "10", "--device": "auto"}
    (tmp_path / "mine").mkdir()
    DemoRecord(tmp_path / "demo" / RECORD, DemoState(options=options, volunteers=2)).save()
    before = (tmp_path / "demo" / RECORD).read_bytes()
    for data, minutes, words in (("mine", 5.0, "--minutes 10, not of --minutes 5"), ("other", 10.0, "--data .*other")):
        asked = DemoOptions(False, None, str(tmp_path / data), minutes, None, None)
        with pytest.raises(RunDirError, match=words):
            start_demo(tmp_path / "demo", asked, overwrite=False)
    assert (tmp_path / "demo" / RECORD).read_bytes() == before


@pytest.mark.parametrize("data", ["~/home/pictures", "home/pictures", "./home/pictures"])
def test_a_demo_of_pictures_that_have_moved_is_still_the_same(tmp_path, monkeypatch, data):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "home" / "pictures"
    pictures.mkdir(parents=True)
    out = tmp_path / "demo"
    asked = Asked(data, 10.0, None, "auto")
    known = DemoRecord(out / RECORD, DemoState(options=demo_options(asked, None), volunteers=2))
    assert known.state.options["--data"] == str(pictures)
    shutil.rmtree(pictures)
    known.require_options(demo_options(asked, known))
    with pytest.raises(RunDirError, match="not of --data"):
        known.require_options(demo_options(replace(asked, data="./other"), known))


def test_a_data_set_is_compared_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert demo_options(Asked("org/pictures", 10.0, None, "auto"), None)["--data"] == "org/pictures"


def test_pictures_inside_the_folder_that_is_replaced_are_refused_and_stay(tmp_path):
    out, pictures = tmp_path / "own", tmp_path / "own" / "run" / "pics"
    pictures.mkdir(parents=True)
    recipe = out / "logs" / "mine.toml"
    recipe.parent.mkdir()
    recipe.write_bytes(dump_config(load_recipe("fashion")).encode())
    outside = tmp_path / "mine.toml"
    config = load_recipe("fashion").model_dump(mode="json", exclude_none=True)
    config["data"]["source"]["path"] = str(pictures)
    outside.write_text(dump_config(RunConfig.model_validate(config)))
    for options in (
        DemoOptions(False, None, str(pictures), None, None, None),
        DemoOptions(False, str(recipe), None, None, None, None),
        DemoOptions(False, str(outside), None, None, None, None),
    ):
        with pytest.raises(RunDirError, match="is inside"):
            start_demo(out, options, overwrite=True)
    assert pictures.is_dir()
    assert recipe.is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_demo_whose_settings_were_not_written_chooses_anew_and_one_that_cannot_be_replaced_stays(tmp_path, overwrite):
    out, pictures = tmp_path / "demo", tmp_path / "pictures"
    pictures.mkdir()
    finished = ["choose", "prepare"] if overwrite else []
    asked = Asked(str(pictures), 10.0, None, "auto")
    DemoRecord(out / RECORD, DemoState(options=demo_options(asked, None), volunteers=2, finished=finished)).save()
    before = (out / RECORD).read_bytes()
    with pytest.raises(EmptySourceError):
        run_own_demo(out, asked, overwrite=overwrite)
    assert (out / RECORD).read_bytes() == before
