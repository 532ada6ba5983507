"""A damaged run directory: each file is named with what to do, and stays as it is."""

from __future__ import annotations

import stat

import pytest

from paris.coordinator.cli.app import app
from paris.coordinator.console import fail_clearly
from paris.coordinator.errors import ConfigError
from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import read_initial_weights
from paris.coordinator.run.prepared_data import load_manifests, prepared_record
from paris.protocol.errors import ParisError

DAMAGED = {
    "empty": b"",
    "latin-1": 'name = "Müller"'.encode("latin-1"),
    "brackets": b"x = " + b"[" * 3000,
    "json brackets": b"[" * 3000,
    "another object": b"{}",
    "a list": b"[]",
}
READERS = {
    "run.toml": lambda run: RunDir.open(run.path),
    "keys/run.key": lambda run: RunDir.open(run.path),
    "data/prepared.json": prepared_record,
    "data/manifests/cluster-000.json": load_manifests,
    "data/initial_weights.json": read_initial_weights,
}


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", recipe="emoji-quick")


CASES = [
    (name, damage)
    for name in READERS
    for damage in DAMAGED
    if (name, damage) != ("data/prepared.json", "another object")  # its fields are read one by one
]


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_damaged_file_is_named_with_what_to_do_and_stays(run, name, damage):
    path = run.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(DAMAGED[damage])
    with pytest.raises(ParisError) as caught:
        READERS[name](run)
    assert str(path) in caught.value.what
    assert caught.value.next_step
    assert path.read_bytes() == DAMAGED[damage]


def test_a_byte_order_mark_in_run_toml_is_no_damage(run):
    path = run.path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert RunDir.open(run.path).config == run.config


def test_a_recipe_that_cannot_be_read_is_named(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_bytes('name = "Müller"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        create_run(tmp_path / "run", recipe=str(recipe))
    assert not (tmp_path / "run").exists()


def test_the_keys_of_a_run_are_for_its_owner_alone(run):
    assert stat.S_IMODE((run.path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((run.path / "keys" / "run.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("home", ["known", "unknown"])
def test_a_tilde_is_the_users_home_also_where_the_shell_leaves_it(run, tmp_path, monkeypatch, capsys, home):
    monkeypatch.setenv("HOME", str(tmp_path))
    run_name = "~/run" if home == "known" else "~no-such-user/run"
    code = 0
    try:
        fail_clearly(app, ["status", run_name])
    except SystemExit as end:
        code = end.code
    assert code == (0 if home == "known" else ConfigError.exit_code), capsys.readouterr().err
