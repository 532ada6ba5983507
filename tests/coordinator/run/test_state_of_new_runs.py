"""Which form the states of legs have in new runs."""

from __future__ import annotations

from paris.coordinator.run.config import dump_config, load_config, load_recipe
from paris.coordinator.run.create import create_run


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
