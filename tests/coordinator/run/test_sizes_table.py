"""[[model.smaller]] of run.toml, up to the records made of it."""

from __future__ import annotations

import pytest
from test_run_tables import TINY, changed, run, with_tables  # noqa: F401 - a fixture

from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.run.config import dump_config, parse_config, validated
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.shapes import expert_shape, smaller_shapes
from paris.coordinator.service.tasks import make_tasks, open_tasks, require_same_sizes
from paris.coordinator.state.model import State
from paris.experts.errors import SettingsError
from paris.experts.models.presets import ModelConfig
from paris.protocol.errors import RecordError
from paris.protocol.run_records import RunSpec
from paris.protocol.sizes import of_size

NARROW = {"overrides": {"hidden_size": 24}}
SHALLOW = {"overrides": {"hidden_size": 24, "num_layers": 1}}


def sized(*smaller, **model):
    return with_tables(model={**model, "smaller": list(smaller)})


def test_sizes_survive_being_written():
    config = sized(NARROW, {"preset": "dit-emoji-4", "overrides": {"hidden_size": 16}})
    assert parse_config(dump_config(config), "again") == config


def test_a_size_has_the_runs_pictures_and_text():
    config = sized({"preset": "dit-s-2", "overrides": {"hidden_size": 16, "num_layers": 1, "num_heads": 2}})
    (small,), large = smaller_shapes(config), expert_shape(config)
    for name in ("image_size", "in_channels", "text_embed_dim", "max_text_tokens"):
        assert getattr(small, name) == getattr(large, name)
    assert (small.patch_size, small.hidden_size, large.hidden_size) == (2, 16, 48)


def test_the_description_names_each_size_by_what_differs_and_a_lease_of_it_finds_its_model(run):  # noqa: F811
    spec = make_spec(changed(run, model={"smaller": [NARROW, SHALLOW]}), [])
    assert spec.smaller == ({"hidden_size": 24}, {"hidden_size": 24, "num_layers": 1})
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec
    assert of_size(spec, None) == spec
    assert ModelConfig.from_settings(of_size(spec, 2).model).num_layers == 1
    with pytest.raises(RecordError, match="names size 3, the run has 2 smaller"):
        of_size(spec, 3)


def test_tasks_name_what_each_size_needs_and_those_of_one_size_name_nothing_new(run):  # noqa: F811
    assert "smaller" not in make_tasks(run)[0].task.model_dump()
    assert make_spec(run, []).smaller is None
    model = {"preset": "dit-xl-2", "overrides": {}, "smaller": [{"preset": "dit-b-2"}, {"preset": "dit-s-2"}]}
    (task, _) = (state.task for state in make_tasks(changed(run, model=model)))
    needed = [(task.min_memory_bytes, task.min_disk_bytes)]
    needed += [(size.min_memory_bytes, size.min_disk_bytes) for size in task.smaller]
    assert len(needed) == 3
    assert needed == sorted(needed, reverse=True)
    assert needed[2][0] < 2 * 10**9 < 12 * 10**9 < needed[0][0]


@pytest.mark.parametrize(
    ("smaller", "message"),
    [
        ([SHALLOW, NARROW], "Size 2 of .* parameters, the size before it"),
        ([{"overrides": {}}], "Size 1 of .* parameters, the size before it"),
        ([{"overrides": {"in_channels": 1}}], "changes in_channels, which all experts share"),
        ([{"preset": "dit-nano"}], "Unknown model preset 'dit-nano'"),
        ([{"overrides": {"hidden_size": 25}}], "hidden_size 25 is not a multiple"),
    ],
)
def test_sizes_that_are_none_are_refused(smaller, message):
    with pytest.raises(SettingsError, match=message):
        smaller_shapes(sized(*smaller))


@pytest.mark.parametrize("start", ["warm_start_steps = 10", 'imagenet_weights = "dit.safetensors"'])
def test_initial_weights_of_one_size_exclude_others(start):
    text = TINY.read_text().replace("[model]\n", f"[model]\n{start}\n") + "\n[[model.smaller]]\noverrides = {}\n"
    with pytest.raises(ConfigError, match=r"model\.smaller needs experts that start from the run's seed"):
        parse_config(text, "run.toml")


def test_lanes_of_one_expert_have_one_size():
    config = sized(NARROW).model_dump(mode="json", exclude_none=True)
    legs = {**config["tasks"], "leg_steps": 60, "lanes": 2}
    with pytest.raises(ConfigError, match=r"model\.smaller and tasks\.lanes = 2: states of two sizes have no mean"):
        validated({**config, "tasks": legs}, "run.toml")


def test_tasks_of_other_sizes_than_run_toml_names_are_refused(run):  # noqa: F811
    plain = State(tasks={state.task.task_id: state for state in make_tasks(run)})
    small = changed(run, model={"smaller": [NARROW]})
    require_same_sizes(run, plain.tasks.values())
    with pytest.raises(RunDirError, match=r"was opened for 0 of \[\[model\.smaller\]\], run\.toml has 1"):
        require_same_sizes(small, plain.tasks.values())
    assert open_tasks(small, despite_plan=True).num_open == 2
    with pytest.raises(RunDirError, match=r"was opened for 1 of \[\[model\.smaller\]\], run\.toml has 0"):
        open_tasks(changed(run))
