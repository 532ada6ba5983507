"""run.toml and recipes: errors are named, and nothing is half created."""

from __future__ import annotations

import re
import resource

import pytest
import tomli_w

from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.run.config import RunConfig, dump_config, load_config, load_recipe, parse_config
from paris.coordinator.run.config_tables import SamplingTable
from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.extending import recipe_names
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings, default_sampling
from paris.experts.sampling.solvers import SOLVERS
from paris.protocol.chain import MAX_LINKS
from paris.protocol.errors import NewerFileError
from paris.protocol.runid import key_belongs_to_run
from paris.protocol.version import SOFTWARE_VERSION


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_parses_and_survives_being_written(name):
    config = load_recipe(name)
    assert parse_config(dump_config(config), "again") == config


def test_an_unknown_field_is_named_with_its_place(tmp_path):
    text = dump_config(load_recipe("emoji")).replace("[tasks]", "[tasks]\nstepz = 3")
    with pytest.raises(ConfigError, match=r"tasks\.stepz.*Extra inputs"):
        parse_config(text, "run.toml")


def test_a_value_out_of_range_is_named_with_the_value():
    text = dump_config(load_recipe("emoji")).replace("num_experts = 4", "num_experts = 0")
    with pytest.raises(ConfigError, match=r"run\.num_experts.*value: 0"):
        parse_config(text, "run.toml")


def test_the_whole_batch_is_split_over_the_experts_and_an_uneven_split_is_refused():
    text = dump_config(load_recipe("emoji"))
    assert load_recipe("emoji").expert_training["batch_size"] == 8
    assert "total_batch_size" not in load_recipe("emoji").expert_training
    with pytest.raises(ConfigError, match="total_batch_size is 30, not a multiple of num_experts = 4, such as 32"):
        parse_config(text.replace("total_batch_size = 32", "total_batch_size = 30"), "run.toml")
    with pytest.raises(ConfigError, match="give one of them"):
        parse_config(text.replace("total_batch_size = 32", "total_batch_size = 32\nbatch_size = 8"), "run.toml")
    own = parse_config(text.replace("total_batch_size = 32", "batch_size = 3"), "run.toml")
    assert own.expert_training["batch_size"] == 3


def without_text(**tables):
    """The text of the emoji recipe's run.toml with [text] kind = "none", and other tables changed."""
    fields = load_recipe("emoji").model_dump(mode="json", exclude_none=True)
    usual = {"text": {"kind": "none"}, "sampling": {"num_steps": 4}, "training": {"batch_size": 8}}
    changed = {name: {**usual.get(name, fields[name]), **table} for name, table in tables.items()}
    return tomli_w.dumps({**fields, **usual, **changed})


def test_without_text_nothing_guides_and_no_caption_is_dropped():
    config = parse_config(without_text(), "run.toml")
    assert not config.reads_text
    assert (config.sampling.guidance_scale, config.expert_training["caption_dropout"]) == (1.0, 0.0)
    assert parse_config(dump_config(config), "again") == config
    away = parse_config(without_text(sampling={"guidance_scale": 2.0, "guidance_away_from": "ensemble"}), "run.toml")
    assert away.sampling.guidance_scale == 2.0
    text = load_recipe("emoji")
    assert text.reads_text
    assert text.expert_training["caption_dropout"] == 0.1


@pytest.mark.parametrize(
    ("table", "fields", "problem"),
    [
        ("text", {"dim": 8}, "text.dim is set, but [text] kind is"),
        ("training", {"caption_dropout": 0.1}, "training.caption_dropout is set"),
        ("data", {"captioner": "org/blip"}, "data.captioner is set"),
        ("router", {"sees_prompt": True}, "router.sees_prompt is set"),
        ("sampling", {"prompts": ["a dog"]}, "sampling.prompts is set"),
        ("sampling", {"guidance_scale": 7.5}, "sampling.guidance_scale is 7.5"),
    ],
)
def test_without_text_what_needs_one_is_refused_by_name(table, fields, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse_config(without_text(**{table: fields}), "run.toml")


def test_a_text_encoder_without_its_size_is_refused_where_it_is_read():
    with pytest.raises(ConfigError, match=r"text\.dim is missing"):
        parse_config(dump_config(load_recipe("emoji")).replace("dim = 64\n", ""), "run.toml")


def test_invalid_toml_is_named_with_its_line():
    with pytest.raises(ConfigError, match="line 2"):
        parse_config("[run]\nname = =\n", "run.toml")


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(ConfigError, match="emoji"):
        load_recipe("no-such")


def test_init_makes_a_run_whose_id_vouches_for_its_key(tmp_path):
    made = create_run(tmp_path / "run", recipe="emoji", name="my-run", hub_endpoint=None)
    assert made.run_id.startswith("my-run-")
    assert key_belongs_to_run(made.identity.public_key, made.run_id)
    assert RunDir.open(tmp_path / "run").run_id == made.run_id
    assert (tmp_path / "run" / "keys" / "run.key").stat().st_mode & 0o777 == 0o600


def test_init_with_another_hub_embeds_none(tmp_path):
    made = create_run(tmp_path / "run", recipe="emoji", name=None, hub_endpoint="https://hub.example/")
    assert made.config.hub.endpoint == "https://hub.example"
    assert not made.config.hub.embedded


def test_init_leaves_a_folder_that_is_not_empty_unchanged(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(RunDirError, match="not empty"):
        create_run(tmp_path, recipe="emoji", name=None, hub_endpoint=None)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_init_refuses_an_invalid_name_and_creates_nothing(tmp_path):
    with pytest.raises(ConfigError, match="My Run"):
        create_run(tmp_path / "run", recipe="emoji", name="My Run", hub_endpoint=None)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_run_toml_is_not_a_run(tmp_path):
    with pytest.raises(RunDirError, match=r"no run\.toml"):
        load_config(tmp_path)


@pytest.fixture
def fixed_recipe(tmp_path):
    """A recipe in which every address is decided."""
    text = dump_config(load_recipe("emoji")).replace("127.0.0.1:0", "127.0.0.2:8484")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/31337"))
    return str(path)


@pytest.mark.parametrize(
    ("options", "endpoint", "listen"),
    [
        ({}, "http://127.0.0.2:8484", "/ip4/0.0.0.0/tcp/31337"),
        ({"hub_port": 8585}, "http://127.0.0.2:8585", "/ip4/0.0.0.0/tcp/31337"),
        ({"host": "127.0.0.1"}, "http://127.0.0.1:8484", "/ip4/127.0.0.1/tcp/31337"),
        ({"host": "127.0.0.1", "hub_port": 65535}, "http://127.0.0.1:65535", "/ip4/127.0.0.1/tcp/31337"),
    ],
)
def test_init_changes_only_the_requested_addresses_of_a_recipe(tmp_path, fixed_recipe, options, endpoint, listen):
    made = create_run(tmp_path / "run", recipe=fixed_recipe, **options)
    assert (made.config.hub.endpoint, made.config.dht.listen) == (endpoint, [listen])
    assert RunDir.open(tmp_path / "run").config == made.config


def test_an_init_that_finds_no_room_can_be_started_again(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # enough for the key, not for run.toml
    try:
        with pytest.raises(OSError, match=r"run\.toml"):
            create_run(tmp_path / "run", recipe="emoji-quick")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "run").iterdir()) == []
    assert create_run(tmp_path / "run", recipe="emoji-quick") is not None


def test_init_replaces_port_zero_by_a_free_port(tmp_path):
    made = create_run(tmp_path / "run", recipe="emoji")
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+", made.config.hub.endpoint)
    assert re.fullmatch(r"/ip4/127\.0\.0\.1/tcp/[1-9]\d+", made.config.dht.listen[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "my-machine"}, "'my-machine' is not an IPv4 address"),
        ({"host": "192.0.2.7"}, "cannot listen at 192.0.2.7.*an address of this machine"),
        ({"hub_endpoint": "hub.example"}, "Invalid Hub endpoint 'hub.example'"),
        ({"hub_endpoint": "https://hub.example", "hub_port": 8484}, "--hub-port 8484.*uses https://hub.example"),
    ],
)
def test_init_refuses_an_unusable_address_and_creates_nothing(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        create_run(tmp_path / "run", recipe="emoji", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('routing = "best2"', "sampling.routing"),
        ('solver = "rk45"', "sampling.solver"),
        ("guidance_interval = [0.2, 1.5]", "sampling.guidance_interval"),
    ],
)
def test_a_sampling_setting_that_no_release_accepts_is_found_in_run_toml(line, place):
    before, after = dump_config(load_recipe("emoji")).split("[sampling]\n")
    others = "".join(f"[{table}" for table in after.split("\n[")[1:])
    text = f"{before}[sampling]\n{line}\n{others}"
    with pytest.raises(ConfigError, match=re.escape(place)):
        parse_config(text, "run.toml")


def test_the_sampling_table_has_the_fields_and_defaults_of_a_release():
    table = SamplingTable().model_dump(exclude={"prompts", "seeds"})
    assert SamplingSettings.from_settings(table) == SamplingSettings(routing=Routing.named("ancestral"))
    assert set(table) == set(SamplingSettings().to_settings())
    default = default_sampling(has_prompt_router=True).to_settings()
    for recipe in sorted({*recipe_names()} - {"paris-256"}):  # that one samples as published
        table = load_recipe(recipe).sampling
        for field in ("routing", "guidance_away_from", "guidance_every"):
            assert getattr(table, field) == default[field]
    assert [SamplingTable(solver=name).solver for name in SOLVERS] == list(SOLVERS)


def test_a_run_toml_of_a_newer_version_is_refused(tmp_path):
    text = dump_config(load_recipe("emoji"))
    assert text.startswith("format = 1\n")
    assert parse_config(text.removeprefix("format = 1\n"), "run.toml") == load_recipe("emoji")
    with pytest.raises(NewerFileError, match=r"run\.toml was written by a newer version"):
        parse_config(text.replace("format = 1", "format = 2\nnew = true"), "run.toml")


def with_tasks(**fields: object) -> RunConfig:
    config = load_recipe("small-64").model_dump(mode="json", exclude_none=True)
    return RunConfig.model_validate({**config, "tasks": {**config["tasks"], **fields}})


def test_legs_are_a_multiple_of_the_snapshots_and_by_steps_or_by_hours():
    every = load_recipe("small-64").snapshot_every
    assert load_recipe("small-64").leg_steps is None
    assert with_tasks(leg_steps=2 * every).leg_steps == 2 * every
    with pytest.raises(ValueError, match=rf"not a multiple of training.snapshot_every = {every}, such as {every}"):
        with_tasks(leg_steps=every + 1)
    with pytest.raises(ValueError, match=r"tasks.leg_steps and tasks.leg_hours exclude each other"):
        with_tasks(leg_steps=every, leg_hours=1.0)
    hourly = with_tasks(steps=400 * every, deadline_s=10 * 3600.0, leg_hours=0.5)
    assert hourly.leg_steps == 20 * every, "those of a volunteer that just meets the deadline"
    assert with_tasks(steps=every + 7, leg_steps=2 * every).leg_steps == every + 7
    assert with_tasks(steps=40 * every, leg_hours=1e-6).leg_steps == 10 * every, "a replay trains a tenth at most"
    assert with_tasks(steps=every + 7, leg_hours=1e6).leg_steps == every + 7


def test_the_oldest_software_of_volunteers_is_a_version_that_this_software_has_reached():
    assert with_tasks(min_node_version=SOFTWARE_VERSION).tasks.min_node_version == SOFTWARE_VERSION
    with pytest.raises(ValueError, match=r"tasks.min_node_version is '99', newer than this software"):
        with_tasks(min_node_version="99")
    with pytest.raises(ValueError, match="pattern"):
        with_tasks(min_node_version="new")


def test_lanes_take_legs_and_states_that_have_a_mean():
    every = load_recipe("small-64").snapshot_every
    assert with_tasks(leg_steps=every, lanes=2).tasks.lanes == 2
    for fields in ({}, {"leg_steps": 10**9 // every * every}):
        with pytest.raises(ValueError, match=r"tasks.lanes is 2, which takes legs shorter than all steps"):
            with_tasks(lanes=2, **fields)
    with pytest.raises(ValueError, match="less than or equal to 8"):
        with_tasks(leg_steps=every, lanes=9)
    values = with_tasks(leg_steps=every, lanes=2).model_dump(mode="json", exclude_none=True)
    for field, value in (("moments", "8bit"), ("precision", "float16"), ("state", "compact")):
        with pytest.raises(ValueError, match=rf"states of training.{field} = '{value}' have no mean"):
            RunConfig.model_validate({**values, "training": {**values["training"], field: value}})
    many = {**values, "run": {**values["run"], "num_experts": 256}, "tasks": {**values["tasks"], "lanes": 8}}
    with pytest.raises(ValueError, match=r"tasks.lanes is 8, at most 4 with 256 experts"):
        RunConfig.model_validate({**many, "training": {"batch_size": 8, "snapshot_every": every}})


def test_a_leg_has_no_more_snapshots_than_a_chain_may_have():
    config = load_recipe("small-64").model_dump(mode="json", exclude_none=True)
    tables = {"training": {**config["training"], "snapshot_every": 2}}
    tables["tasks"] = {**config["tasks"], "steps": 3 * MAX_LINKS, "leg_steps": 2 * MAX_LINKS}
    assert RunConfig.model_validate({**config, **tables}).leg_steps == 2 * MAX_LINKS
    tables["tasks"]["leg_steps"] += 2
    with pytest.raises(ValueError, match=r"tasks.leg_steps makes legs of 8194 steps.*set snapshot_every to 3"):
        RunConfig.model_validate({**config, **tables})
