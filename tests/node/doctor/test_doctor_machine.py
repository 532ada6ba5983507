"""What is wrong with home, disk, device, versions and manners is found, with what to do."""

from __future__ import annotations

import errno
import fcntl
import json
import os

import pytest

from paris.node.doctor.finding import Level
from paris.node.doctor.home_looks import disk, home, identity, settings
from paris.node.doctor.looks import Look, look_at
from paris.node.doctor.machine_looks import device, manners, memory, versions
from paris.node.machine.lock import home_lock
from paris.protocol.signing import Identity


def test_a_sound_machine_has_nothing_but_ok_and_gets_no_home(known):
    found = [finding for see in (settings, versions, home, identity, disk, device, manners) for finding in see(known)]
    assert [finding.text for finding in found if finding.level is not Level.OK] == []
    assert known.hardware is not None
    assert not known.home.path.exists()
    assert list(known.home.path.parent.iterdir()) == []
    (seen,) = memory(known)
    assert "are free" in seen.text


def test_a_setting_that_is_wrong_is_a_finding_and_the_defaults_serve_on(known):
    known.home.path.mkdir()
    (known.home.path / "config.toml").write_text("thread = 3", "utf-8")
    (found,) = look_at(Look("settings", lambda: settings(known)))
    assert found.level is Level.PROBLEM
    assert "Unknown setting 'thread'" in found.text
    assert [finding.level for finding in device(known)] == [Level.OK]


def test_a_node_that_runs_in_the_home_is_named(known):
    with home_lock(known.home.path):
        (found,) = home(known)
        assert found.level is Level.WARNING
        assert f"process {os.getpid()}" in found.text
        assert known.is_running
    assert [finding.level for finding in home(known)] == [Level.OK]


def test_an_identity_that_is_damaged_or_that_others_can_read_is_named(known):
    Identity.load_or_create(known.home.identity)
    assert [finding.level for finding in identity(known)] == [Level.OK]
    known.home.identity.chmod(0o644)
    (found,) = identity(known)
    assert (found.level, found.next_step) == (Level.WARNING, f"chmod 600 {known.home.identity}")
    known.home.identity.write_text("abc", "ascii")
    (found,) = look_at(Look("identity", lambda: identity(known)))
    assert found.level is Level.PROBLEM
    assert "cannot be used" in found.text


def test_a_full_disk_is_said_and_nothing_is_left_on_it(known, file_size_limit):
    with file_size_limit():
        (found,) = look_at(Look("disk", lambda: disk(known)))
    assert found.level is Level.PROBLEM
    assert found.text.startswith("The disk is full while")
    assert list(known.home.path.parent.iterdir()) == []


def test_a_file_system_without_locks_is_said(known, monkeypatch):
    def flock(*_args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    (found,) = look_at(Look("disk", lambda: disk(known)))
    assert found.level is Level.PROBLEM
    assert "its file system has no locks" in found.text
    assert "--no-lock" in found.next_step


@pytest.mark.parametrize("wanted", ["cuda:99", "mps"])
def test_a_device_that_is_not_there_is_said(known, wanted):
    known.config = known.config.model_copy(update={"device": wanted})
    (found,) = look_at(Look("device", lambda: device(known)))
    assert (found.level, known.hardware) == (Level.PROBLEM, None)
    assert f"No {wanted} device was found." in found.text


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo 550.54.14", "which torch"), ("exit 9", "nvidia-smi is installed, but finds no GPU")],
)
def test_a_gpu_that_torch_does_not_use_is_a_warning(known, tmp_path, monkeypatch, script, said):
    """With torch's CPU build: only there does `detect` choose the CPU beside a driver that answers."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\ncase "$*" in *driver_version*) {script};; *) exit 9;; esac\n', "ascii")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    (found,) = device(known)
    assert found.level is Level.WARNING
    assert said in found.text


def test_an_old_library_and_a_missing_one_are_named_with_the_least_version(known, tmp_path, monkeypatch):
    for name, version, needs in (("paris-swarm", "9", ("torch>=2.6", "sniffles>=3")), ("torch", "1.0+cpu", ())):
        folder = tmp_path / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
        (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]), "utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (found,) = versions(known)
    assert found.level is Level.PROBLEM
    assert found.text == "torch 1.0+cpu is older than 2.6; sniffles is not installed."


def test_manners_that_hold_now_and_those_that_nothing_measures_are_named(known, tmp_path):
    known.home.path.mkdir()
    (known.home.path / "config.toml").write_text("not_while = " + json.dumps([_own_name()]), "utf-8")
    list(settings(known))
    (found,) = manners(known)
    assert found.level is Level.WARNING
    assert f"A node would not train now: {_own_name()} runs." in found.text


def _own_name() -> str:
    with open("/proc/self/comm", encoding="utf-8") as file:  # noqa: PTH123
        return file.read().strip()
