"""`check-config` names each setting that is off; every rule is shown by a setting that breaks it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from picture_piles import pile, write_folder
from typer.testing import CliRunner

from paris.coordinator.cli.app import app
from paris.coordinator.errors import ConfigError
from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.facts import facts_of_run
from paris.coordinator.prepare.config import prepare_config
from paris.coordinator.prepare.sources.settings import FolderSource
from paris.coordinator.proposal.checking import check_run
from paris.coordinator.proposal.choices import propose
from paris.coordinator.proposal.contradictions import contradictions
from paris.coordinator.proposal.findings import Captions, Pictures, SourceState, Survey
from paris.coordinator.proposal.fingerprint import changes
from paris.coordinator.proposal.misfits import misfits
from paris.coordinator.proposal.remarks import Remark
from paris.coordinator.proposal.validating import invalid_fields
from paris.coordinator.run.config import RunConfig, dump_config, load_recipe, parse_config
from paris.coordinator.run.create import create_run
from paris.coordinator.run.extending import recipe_names

SURVEY = Survey(
    source=FolderSource(path=Path("/srv/photos"), name="photos"),
    place="/srv/photos",
    rows=1500,
    dropped={},
    captions=Captions(1500, 0, 0, 900, 0, words_p95=9, language="English", examples=("a dog",)),
    pictures=Pictures(100, (72,) * 100, (1.0,) * 100),
    licences={"cc-by-4.0": 1500},
    opted_out=0,
)


def changed(**tables: dict[str, Any]) -> RunConfig:
    """The proposal for SURVEY with some settings changed."""
    values = propose(SURVEY).config.model_dump(mode="json", exclude_none=True)
    for name, fields in tables.items():
        values[name] = {**values[name], **fields}
    return RunConfig.model_validate(values)


def about(remarks: list[Remark]) -> dict[str, bool]:
    return {remark.setting: remark.is_error for remark in remarks}


def test_nothing_is_off_in_a_proposal() -> None:
    config = changed()
    assert contradictions(config) == []
    assert misfits(config, prepare_config(config.data), SURVEY) == []
    assert invalid_fields(dump_config(config)) == []


@pytest.mark.parametrize("name", recipe_names())
def test_nothing_is_off_in_a_packaged_recipe(name: str) -> None:
    config = load_recipe(name)
    assert invalid_fields(dump_config(config)) == []
    assert contradictions(config) == []


@pytest.mark.parametrize(
    ("tables", "setting", "is_error"),
    [
        ({"data": {"image_size": 32}}, "model.overrides.image_size", True),
        ({"router": {"overrides": {"image_size": 32}}}, "router.overrides.image_size", True),
        ({"codec": {"kind": "vae"}}, "model.overrides.in_channels", True),
        ({"model": {"overrides": {"image_size": 64, "text_embed_dim": 32}}}, "model.overrides.text_embed_dim", True),
        ({"training": {"caption_dropout": 1.0}}, "training.caption_dropout", True),
        ({"training": {"caption_dropout": 0.0}}, "training.caption_dropout", False),
        ({"tasks": {"lease_s": 5, "heartbeat_every_s": 10}}, "tasks.lease_s", True),
        ({"tasks": {"lease_s": 20, "heartbeat_every_s": 10}}, "tasks.lease_s", False),
        ({"tasks": {"grace_s": 1e6}}, "tasks.grace_s", False),
        ({"tasks": {"min_memory_bytes": 0}}, "tasks.min_memory_bytes", False),
        ({"tasks": {"leg_hours": 1e4}}, "tasks.leg_hours", False),
        ({"training": {"snapshot_every": 10**6}}, "training.snapshot_every", False),
        ({"tasks": {"leg_steps": 200}, "training": {"snapshot_every": 100}}, "training.snapshot_every", False),
        ({"training": {"warmup_steps": 3000}}, "training.warmup_steps", False),
        ({"training": {"learning_rate": 0.1}}, "training.learning_rate", False),
        ({"hub": {"endpoint": "https://127.0.0.1:1"}}, "hub.endpoint", True),
        ({"hub": {"endpoint": "http://192.0.2.1:1"}}, "dht.listen", False),
        ({"hub": {"endpoint": "https://hub.example.org", "embedded": False}}, "hub.model_repo", False),
    ],
)
def test_settings_that_contradict_each_other(tables: dict[str, Any], setting: str, is_error: bool) -> None:
    assert about(contradictions(changed(**tables)))[setting] is is_error


@pytest.mark.parametrize(
    ("tables", "setting", "is_error"),
    [
        ({"run": {"num_experts": 128}, "training": {"total_batch_size": 1024}}, "run.num_experts", True),
        ({"data": {"heldout_rows": 375}}, "data.heldout_rows", True),
        ({"data": {"heldout_rows": 200}}, "data.heldout_rows", False),
        ({"data": {"licences": "mit"}}, "data.licences", True),
        ({"data": {"image_size": 128}}, "data.image_size", False),
        ({"data": {"min_side_px": 100}}, "data.min_side_px", True),
        ({"text": {"max_tokens": 4}}, "text.max_tokens", False),
        ({"tasks": {"steps": 10}}, "tasks.steps", False),
        ({"tasks": {"steps": 10**6}}, "tasks.steps", False),
        ({"data": {"source": {"kind": "folder", "path": "/x", "class_captions": True}}},
         "data.source.class_captions", False),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_pictures(tables: dict[str, Any], setting: str, is_error: bool) -> None:
    config = changed(**tables)
    assert about(misfits(config, prepare_config(config.data), SURVEY))[setting] is is_error


def test_captions_that_are_missing_or_not_understood() -> None:
    config = changed()
    data = prepare_config(config.data)
    half = replace(SURVEY, captions=replace(SURVEY.captions, own=700, classes_only=800))
    (remark,) = misfits(config, data, half)
    assert (remark.setting, remark.is_error) == ("data.source.caption_column", False)
    assert remark.next_step.startswith("class_captions = true takes their classes")
    unspaced = replace(SURVEY, captions=replace(SURVEY.captions, language="Chinese or Japanese"))
    assert about(misfits(config, data, unspaced)) == {"text.kind": False}


def test_a_smaller_size_that_is_not_smaller_is_named_and_not_beside_an_invalid_model() -> None:
    smaller = [{"overrides": {"num_layers": 1}}, {"overrides": {"num_layers": 2}}]
    (remark,) = invalid_fields(dump_config(changed(model={"smaller": smaller})))
    assert (remark.setting, remark.next_step) == ("model.smaller", "List smaller sizes, the largest first.")
    unknown = invalid_fields(dump_config(changed(model={"preset": "dit-xxl", "smaller": smaller})))
    assert "model.smaller" not in {remark.setting for remark in unknown}


def test_all_invalid_fields_are_named_with_the_nearest_known_one() -> None:
    text = dump_config(changed())
    text = text.replace("num_experts", "num_expert").replace("deadline_s = ", "deadline_s = -")
    found = {remark.setting: remark.next_step for remark in invalid_fields(text)}
    assert found["run.num_expert"] == "Did you mean num_experts?"
    assert found["run.num_experts"] == "Add it."
    assert "tasks.deadline_s" in found
    text = dump_config(changed(data={"image_sizes": 3}, training={"learning_rat": 1}, verify={"min_gains": 1}))
    assert {remark.setting for remark in invalid_fields(text)} == {
        *("data.image_sizes", "training.learning_rat", "verify.min_gains")
    }
    assert [remark.setting for remark in invalid_fields("[run")] == ["run.toml"]
    assert {remark.setting for remark in invalid_fields(dump_config(changed(model={"preset": "dit-xxl"})))} == {
        "model.preset"
    }


@pytest.mark.parametrize(
    ("tables", "setting", "what"),
    [
        (
            {"run": {"num_experts": 20}, "training": {"total_batch_size": 32}},
            "training.total_batch_size",
            "it is 32, not a multiple of num_experts = 20, such as 40",
        ),
        ({"router": {"train_after": 9}}, "router.train_after", "it is 9, but run.num_experts is 4"),
        (
            {"training": {"total_batch_size": 32, "batch_size": 8}},
            "training.batch_size",
            "it and training.total_batch_size exclude each other: give one of them",
        ),
        (
            {"objectives": {"epsilon_clusters": [7]}},
            "objectives.epsilon_clusters",
            "it contains 7, but clusters are 0 to 3",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_named_without_all_the_others(
    tables: dict[str, Any], setting: str, what: str
) -> None:
    values = changed().model_dump(mode="json", exclude_none=True)
    for name, fields in tables.items():
        values[name] = {**values[name], **fields}
    text = tomli_w.dumps(values)
    (remark,) = invalid_fields(text)
    assert (remark.setting, remark.value, remark.what) == (setting, "", what)
    with pytest.raises(ConfigError) as error:
        parse_config(text, "run.toml")
    assert error.value.what == f"run.toml: {what.replace('it', setting, 1)}."


def test_files_with_a_line_break_in_their_name_do_not_break_the_message() -> None:
    old, new = (SourceState({}, 1, digest, {name: "1"}) for digest, name in (("a", "x.png"), ("b", "a\nb.png")))
    assert changes(old, new) == "1 file is new (a b.png), 1 file is gone (x.png)"


def test_the_command_looks_at_the_pictures_and_ends_with_a_code(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine", pile(20))
    run, invoke = tmp_path / "run", CliRunner().invoke
    assert invoke(app, ["init", str(run), "--data", str(tmp_path / "mine"), "--yes"]).exit_code == 0
    checked = invoke(app, ["check-config", str(run), "--json"])
    assert checked.exit_code == 0
    (remark,) = json.loads(checked.stdout)["remarks"]
    assert (remark["setting"], remark["is_error"]) == ("run.num_experts", False)  # the plan's warning: by heart
    for picture in (tmp_path / "mine").glob("*-1*.png"):
        picture.unlink()
    checked = invoke(app, ["check-config", str(run)])
    assert isinstance(checked.exception, ConfigError)
    assert "wrong: run.num_experts = 2: 18 pictures can be used, 9 an expert; 20 are the least. Add pictures" in (
        " ".join(checked.stdout.split())
    ), "18 are too few for any number of experts"
    assert "22 files are gone" in checked.stdout


def test_the_demo_has_the_warnings_of_its_plan(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", recipe="emoji-quick")
    planned = make_plan(facts_of_run(run)).problems
    remarks = check_run(run.path, lambda *_: None)
    assert planned
    assert {problem.what for problem in planned} <= {remark.what for remark in remarks}
