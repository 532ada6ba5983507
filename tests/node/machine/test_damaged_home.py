"""A damaged or unusable home: each file is named with what to do, and stays as it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from units import RUN, make_unit

from paris.node.errors import SettingsError
from paris.node.hub.tokens import hub_token
from paris.node.machine.config import NodeConfig, default_home, load_config
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.node.options import home_path
from paris.protocol.errors import ParisError, RecordError
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.signing import Identity

DAMAGED = {
    "empty": b"",
    "latin-1": 'name = "Müller"'.encode("latin-1"),
    "brackets": b"x = " + b"[" * 3000,
    "json brackets": b"[" * 3000,
    "zeros": bytes(512),
}


def unit(home: Home) -> Path:
    home.unit_folder(RUN, "expert-0", 1).save(make_unit())
    return home.unit_folder(RUN, "expert-0", 1).path / "unit.json"


def config(home: Home) -> Path:
    return home.path / "config.toml"


def pin(home: Home) -> Path:
    return home.run_folder(RUN) / "coordinator.pub"


READERS = {
    "identity": (lambda home: home.identity, lambda home: Identity.load_or_create(home.identity)),
    "pin": (pin, lambda home: home.pin(RUN, "a" * 64)),
    "unit": (unit, lambda home: home.units(RUN)),
    "config": (config, lambda home: load_config(home.path, {}, {})),
}


CASES = [(reader, damage) for reader in READERS for damage in DAMAGED if (reader, damage) != ("config", "empty")]


@pytest.mark.parametrize(("reader", "damage"), CASES)
def test_a_damaged_file_is_named_with_what_to_do_and_stays(tmp_path, reader, damage):
    home = Home(tmp_path)
    find, read = READERS[reader]
    path = find(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(DAMAGED[damage])
    with pytest.raises(ParisError) as caught:
        read(home)
    assert str(path) in caught.value.what
    assert caught.value.next_step
    assert path.read_bytes() == DAMAGED[damage]


def test_a_byte_order_mark_is_no_damage(tmp_path):
    (tmp_path / "config.toml").write_bytes(b'\xef\xbb\xbfname = "ada"\n')
    (tmp_path / "hub_token").write_bytes(b"\xef\xbb\xbfhf_0123456789\n")
    assert load_config(tmp_path, {}, {}).name == "ada"
    assert hub_token(tmp_path, NodeConfig(), {}, PUBLIC_ENDPOINT) == "hf_0123456789"


def test_a_setting_of_3000_brackets_in_the_environment_is_named(tmp_path):
    with pytest.raises(SettingsError, match="PARIS_NODE_DEVICE"):
        load_config(tmp_path, {"PARIS_NODE_DEVICE": "[" * 3000}, {})


def test_a_token_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "hub_token").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="hub_token"):
        hub_token(tmp_path, NodeConfig(), {}, PUBLIC_ENDPOINT)


def test_a_tilde_is_the_users_home_in_every_path_that_a_user_gives(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PARIS_HOME", "~/paris")
    assert default_home() == tmp_path / "paris"
    given = load_config(tmp_path, {"PARIS_NODE_HUB_TOKEN_FILE": "~/token"}, {})
    assert given.hub_token_file == tmp_path / "token"
    done = node("status", "--home=~/elsewhere", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ["~no-such-user/paris", "~"])
def test_a_user_without_a_home_is_told_of_the_option(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda given: given)  # as the system does for an unknown user
    monkeypatch.setenv("PARIS_HOME", path)
    with pytest.raises(SettingsError, match="no home folder") as caught:
        default_home()
    assert "--home" in caught.value.next_step
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_made_is_named_with_the_option(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be used") as caught, home_lock(tmp_path / "file" / "home"):
        pytest.fail("a lock without a folder")
    assert str(tmp_path / "file" / "home") in caught.value.what
    assert "--home" in caught.value.next_step


def test_a_new_home_is_for_its_owner_alone(tmp_path):
    with home_lock(tmp_path / "home"):
        assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_a_pin_of_another_key_is_still_refused(tmp_path):
    home = Home(tmp_path)
    home.pin(RUN, "a" * 64)
    with pytest.raises(ParisError) as caught:
        home.pin(RUN, "b" * 64)
    assert not isinstance(caught.value, RecordError)


def node(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paris.node.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ}, check=False)


@pytest.mark.parametrize(
    ("environ", "flags", "source"),
    [({"PARIS_NODE_MAX_UPLOADS": "99"}, {}, "PARIS_NODE_MAX_UPLOADS"), ({}, {"max_uploads": 99}, "--max-uploads")],
)
def test_a_setting_out_of_range_is_named_as_the_volunteer_wrote_it(tmp_path, environ, flags, source):
    with pytest.raises(SettingsError, match=f"max_uploads = 99 .from {source}.: .*must be at most 32"):
        load_config(tmp_path, environ, flags)


def test_a_home_that_is_a_file_is_refused_by_every_command(tmp_path):
    (tmp_path / "file").write_text("of mine")
    with pytest.raises(SettingsError, match="is no folder"):
        home_path(tmp_path / "file")
    assert home_path(tmp_path / "later") == tmp_path / "later"
