"""Which form the states of legs have in new runs, and how many of them a leg has."""

from __future__ import annotations

from paris.coordinator.run.config import RunConfig, dump_config, load_config, load_recipe
from paris.coordinator.run.create import create_run
from paris.coordinator.run.stretches import snapshots_for


def test_init_gives_a_new_run_of_legs_compact_states_and_no_other_run(tmp_path):
    def state_of(name: str, changes: dict[str, str]) -> object:
        text = dump_config(load_recipe("emoji"))
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / f"{name}.toml").write_text(text)
        return create_run(tmp_path / name, recipe=str(tmp_path / f"{name}.toml")).config.training.get("state")

    assert state_of("legs", {}) == "compact"
    assert load_config(tmp_path / "legs").expert_training["state"] == "compact"
    assert state_of("whole", {"leg_steps = 2300\n": ""}) is None
    assert state_of("exact", {"[training]\n": '[training]\nstate = "exact"\n'}) == "exact"
    assert "state" not in load_recipe("emoji").expert_training, "nor does a run.toml that is older than the setting"


def test_init_gives_legs_of_a_number_of_steps_twenty_stretches_and_leaves_what_a_recipe_sets(tmp_path):
    def every_of(name: str, leg_steps: int, **training: int) -> object:
        values = load_recipe("emoji").model_dump(mode="json", exclude_none=True)
        values["training"].pop("snapshot_every")
        values["training"] |= training
        values["tasks"] |= {"leg_steps": leg_steps, "steps": 20_000}
        (tmp_path / f"{name}.toml").write_text(dump_config(RunConfig.model_validate(values)))
        create_run(tmp_path / name, recipe=str(tmp_path / f"{name}.toml"))
        return load_config(tmp_path / name).training.get("snapshot_every")

    assert every_of("legs", 4000) == 200
    assert every_of("whole", 20_000) == 1000
    assert every_of("set", 4000, snapshot_every=1000) == 1000
    assert every_of("prime", 19_997, snapshot_every=19_997) == 19_997


def test_stretches_divide_the_leg():
    assert [snapshots_for(steps) for steps in (2000, 2300, 1900, 26, 2003, 7)] == [100, 115, 95, 1, None, None]
