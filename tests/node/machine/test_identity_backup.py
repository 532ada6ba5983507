"""Copies of the identity: nothing is overwritten, nothing is readable by others, a wrong passphrase opens nothing."""

from __future__ import annotations

import stat

import pytest
from typer.testing import CliRunner

from paris.node.cli import app
from paris.node.machine.identity_backup import backup_identity, restore_identity
from paris.protocol.errors import IdentityError
from paris.protocol.signing import Identity


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "home" / "identity.key"
    Identity.load_or_create(path)
    return path


@pytest.mark.parametrize("passphrase", ["", "correct horse battery staple"])
def test_a_copy_becomes_the_same_identity_in_another_home(key, tmp_path, passphrase):
    copy, other = tmp_path / "copy", tmp_path / "other" / "identity.key"
    public_key = backup_identity(key, copy, passphrase)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (key.read_bytes().strip() in copy.read_bytes()) is (passphrase == "")
    assert restore_identity(copy, other, passphrase) == public_key
    assert other.read_bytes() == key.read_bytes()
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_nothing_is_overwritten(key, tmp_path):
    copy = tmp_path / "copy"
    copy.write_text("something else")
    with pytest.raises(IdentityError, match="exists already; it is unchanged"):
        backup_identity(key, copy)
    assert copy.read_text() == "something else"
    backup_identity(key, tmp_path / "good")
    before = key.read_bytes()
    with pytest.raises(IdentityError, match="has an identity already"):
        restore_identity(tmp_path / "good", key)
    assert key.read_bytes() == before


@pytest.mark.parametrize("damage", ["wrong words", "flipped", "other key", "cut", "no copy", "gone"])
def test_what_does_not_open_restores_nothing(key, tmp_path, damage):
    copy, other = tmp_path / "copy", tmp_path / "other" / "identity.key"
    backup_identity(key, copy, "words")
    text = copy.read_text()
    sealed = text.split('"sealed": "')[1]
    changed = {
        "flipped": text.replace(sealed[:2], f"{int(sealed[:2], 16) ^ 1:02x}"),
        "other key": text.replace(Identity.load(key).public_key, "0" * 64),
        "cut": text[:-40],
        "no copy": "{}",
    }
    copy.write_text(changed.get(damage, text))
    if damage == "gone":
        copy.unlink()
    with pytest.raises(IdentityError):
        restore_identity(copy, other, "other words" if damage == "wrong words" else "words")
    assert not other.exists()


def test_the_commands_ask_for_the_passphrase_and_say_the_public_key(key, tmp_path):
    copy, new_home = str(tmp_path / "copy"), str(tmp_path / "new")
    said = CliRunner().invoke(
        app, ["identity", "backup", copy, "--passphrase", "--home", str(key.parent)], input="words\nwords\n"
    )
    assert said.exit_code == 0, said.output
    assert "Public key: " + Identity.load(key).public_key in said.output
    restored = CliRunner().invoke(app, ["identity", "restore", copy, "--home", new_home], input="words\n")
    assert Identity.load(key).public_key in restored.output
    again = CliRunner().invoke(app, ["identity", "restore", copy, "--home", new_home], input="words\n")
    assert again.exit_code == IdentityError.exit_code
