"""A run's backup is whole, also of a run that is served, and restored with its keys; a damaged one restores nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from typer.testing import CliRunner

from paris.coordinator.backup.contents import files_to_keep
from paris.coordinator.backup.restoring import ATTEMPTS_SKIPPED, restore
from paris.coordinator.backup.writing import write_backup
from paris.coordinator.cli.app import app
from paris.coordinator.decisions.attempts import with_attempts_skipped
from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.hub.storage.store import contents_named
from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.publisher import records_to_publish
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.reading import read_state
from paris.coordinator.state.store import Store
from paris.protocol.envelope import open_envelope

FIXTURE = Path(__file__).parents[2] / "fixtures" / "run-2026-11.tar.xz"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run of an earlier version: one expert is registered, the other in training; with an embedded Hub."""
    folder = tmp_path_factory.mktemp("backup")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    run = folder / "run-2026-11" / "run"
    Store(run / "state.sqlite").close()
    return run


@pytest.fixture
def run(kept, tmp_path):
    return RunDir.open(shutil.copytree(kept, tmp_path / "run"))


@pytest.fixture
def file(run, tmp_path):
    write_backup(run, tmp_path / "run.tar")
    return tmp_path / "run.tar"


def state_of(path: Path):
    store = Store(path / "state.sqlite")
    try:
        return store.load()
    finally:
        store.close()


def test_a_restored_run_has_the_same_files_key_and_state(run, file, tmp_path):
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    restored, listed = restore(file, tmp_path / "elsewhere")
    assert restored.run_id == run.run_id == listed.run_id
    kept = sorted(files_to_keep(run.path))
    assert {"keys/run.key", "run.toml"} <= set(kept)
    assert len(kept) > 10
    for path in kept:
        assert (restored.path / path).read_bytes() == (run.path / path).read_bytes(), path
    assert contents_named(restored.path / "hub/hub.sqlite3") == contents_named(run.path / "hub/hub.sqlite3") != set()
    assert stat.S_IMODE((restored.path / "keys" / "run.key").stat().st_mode) == 0o600
    before, after = state_of(run.path), state_of(restored.path)
    assert (before.leases, before.submissions, before.volunteers) == (after.leases, after.submissions, after.volunteers)


def test_leases_of_the_restored_run_keep_out_those_that_were_granted_after_the_backup(run, file, tmp_path):
    restored, _ = restore(file, tmp_path / "elsewhere")
    before, after = state_of(run.path).tasks, state_of(restored.path).tasks
    assert {task.registration is None for task in before.values()} == {True, False}
    for task_id, known in before.items():
        skipped = 0 if known.registration else ATTEMPTS_SKIPPED
        assert after[task_id].task.attempt == known.task.attempt + skipped
        assert after[task_id].lease_id == known.lease_id


def test_a_restore_that_was_killed_leaves_no_run(file, tmp_path):
    program = """
import os, sys
from pathlib import Path
import paris.coordinator.backup.restoring as restoring
restoring._skip_attempts = lambda run: os._exit(9)
restoring.restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    elsewhere = tmp_path / "elsewhere"
    killed = subprocess.run([sys.executable, "-c", program, str(file), str(elsewhere)], check=False, timeout=DEADLINE_S)
    assert killed.returncode == 9
    assert not elsewhere.exists()
    assert restore(file, elsewhere)[0].path == elsewhere


def test_work_that_the_backup_has_is_published_by_the_restored_run(run, file, tmp_path):
    restored, _ = restore(file, tmp_path / "elsewhere")
    before, after = state_of(run.path), state_of(restored.path)
    spec = open_envelope((run.path / "run.json").read_bytes(), run_id=run.run_id, coordinator=None, now=None).payload
    kinds = [
        sorted(
            record.kind for record in records_to_publish(spec, [], state, 0.0) if record.kind in ("lease", "verdict")
        )
        for state in (before, after)
    ]
    assert kinds[0] == kinds[1]
    assert {"lease", "verdict"} == set(kinds[0])


def test_what_is_no_file_is_left_out(run, tmp_path):
    os.mkfifo(run.path / "pipe")
    assert "pipe" not in write_backup(run, tmp_path / "run.tar").files


def test_a_backup_beside_a_writing_service_holds_one_moment(run, tmp_path):
    stop, store = threading.Event(), Store(run.state_file)
    state = store.load()

    def serve() -> None:
        number = 0
        while not stop.is_set():
            pair = [Event(EventKind.OPENED, f"{number} {half}") for half in ("first", "second")]
            store.save(state, state, pair, 0.0)
            number += 1

    service = threading.Thread(target=serve)
    service.start()
    try:
        for number in range(5):
            write_backup(run, tmp_path / f"{number}.tar")
    finally:
        stop.set()
        service.join()
        store.close()
    seen = set()
    for number in range(5):
        restored, _ = restore(tmp_path / f"{number}.tar", tmp_path / f"run-{number}")
        copy = Store(restored.state_file)
        texts = [event.text.split()[1] for event in copy.events() if event.text.endswith(("first", "second"))]
        copy.close()
        assert texts.count("first") == texts.count("second")
        seen.add(len(texts))
    assert len(seen) > 1, "the service wrote meanwhile"


def test_a_restored_run_can_have_another_address(file, run, tmp_path):
    restored, _ = restore(file, tmp_path / "elsewhere", host="127.0.0.3", hub_port=4321)
    assert restored.config.hub.endpoint == "http://127.0.0.3:4321"
    assert all(address.startswith("/ip4/127.0.0.3/tcp/") for address in restored.config.dht.listen)
    assert (restored.path / "run.toml.before").read_bytes() == (run.path / "run.toml").read_bytes()
    with pytest.raises(ConfigError):
        restore(file, tmp_path / "other", host="192.0.2.x")
    assert not (tmp_path / "other").exists()


def rewritten(file: Path, change) -> Path:
    """The same backup with its members changed by a function of (name, bytes), which may give several or none."""
    changed = file.with_name("changed.tar")
    with tarfile.open(file) as source, tarfile.open(changed, "w") as target:
        for member in source:
            data = source.extractfile(member).read()
            for name, content in change(member.name, data):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                target.addfile(info, io.BytesIO(content))
    return changed


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda name, data: [(name, data[:-1] + b"?" if name == "run.toml" else data)], "run.toml differs"),
        (lambda name, data: [] if name == "run.json" else [(name, data)], "run.json differs"),
        (lambda name, data: [(name, data)] if name != "backup.json" else [], "ends before its list"),
        (lambda name, data: [("../" + name if name == "run.toml" else name, data)], "no file of a run"),
        (lambda name, data: [("/etc/paris-test" if name == "run.toml" else name, data)], "no file of a run"),
        (lambda name, data: [(name, data)] * (2 if name == "run.toml" else 1), "there twice"),
        (lambda name, data: [(name, b"{}" if name == "backup.json" else data)], "not one of this version"),
    ],
)
def test_a_backup_that_was_changed_restores_nothing(file, tmp_path, change, why):
    with pytest.raises(RunDirError, match=why):
        restore(rewritten(file, change), tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed.tar", "run", "run.tar"]


@pytest.mark.parametrize("cut", [0, 1000, 0.5, -11_000])
def test_a_backup_that_was_cut_restores_nothing(file, tmp_path, cut):
    data = file.read_bytes()
    file.write_bytes(data[: int(cut * len(data)) if isinstance(cut, float) else cut])
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(RunDirError, match="no whole backup"):
        restore(file, tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_nothing_is_overwritten_and_no_backup_goes_into_its_own_run(run, file, tmp_path):
    with pytest.raises(RunDirError, match="exists already"):
        write_backup(run, file)
    with pytest.raises(RunDirError, match="in the run directory itself"):
        write_backup(run, run.path / "x.tar")
    with pytest.raises(RunDirError, match="not empty"):
        restore(file, run.path)
    with pytest.raises(RunDirError, match="There is no"):
        restore(tmp_path / "nothing.tar", tmp_path / "elsewhere")


def test_the_commands_say_what_they_did(run, tmp_path):
    made = CliRunner().invoke(app, ["backup", str(run.path), "--out", str(tmp_path / "b.tar"), "--json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["run_id"], told["bytes"] > 10**4) == (run.run_id, True)
    back = CliRunner().invoke(app, ["restore", str(tmp_path / "b.tar"), str(tmp_path / "again")])
    assert back.exit_code == 0, back.output
    assert f"paris-coord serve {tmp_path / 'again'}" in back.output


def with_database(run: RunDir, schema) -> RunDir:
    path = run.path / "run.toml"
    text = path.read_text("utf-8").replace("embedded = true", "embedded = false")
    path.write_text(f'{text}\n[state]\ndatabase = "{schema.url}"\n', "utf-8")
    return RunDir.open(run.path)


def test_a_state_in_postgresql_is_backed_up_and_a_restored_one_does_not_overwrite_it(run, schema, tmp_path):
    run = with_database(run, schema)
    before = read_state(run)
    assert not run.state_file.exists()
    write_backup(run, tmp_path / "run.tar")
    restored, _ = restore(tmp_path / "run.tar", tmp_path / "elsewhere")
    assert state_of(restored.path) == with_attempts_skipped(before, ATTEMPTS_SKIPPED)
    with pytest.raises(RunDirError, match="both hold a state of the run"):
        read_state(restored)
    assert read_state(run) == before


def test_a_second_coordinator_has_the_keys_and_data_and_neither_the_state_nor_the_first_ones_peer(
    run, schema, tmp_path
):
    run = with_database(run, schema)
    state = read_state(run)
    write_backup(run, tmp_path / "run.tar")
    second, _ = restore(tmp_path / "run.tar", tmp_path / "second", standby=True)
    assert (second.run_id, read_state(second)) == (run.run_id, state)
    left_out = {"state.sqlite", "keys/peer.key", "sequence"}
    assert set(files_to_keep(run.path)) - set(files_to_keep(second.path)) <= left_out
    assert not any((second.path / path).exists() for path in left_out)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", "run.toml of the backup names none"),
        ('[state]\ndatabase = "postgresql://h/d"\n', "cannot serve the embedded"),
    ],
)
def test_a_second_coordinator_needs_a_database_and_a_hub_to_share(run, tmp_path, toml, message):
    path = run.path / "run.toml"
    path.write_text(f"{path.read_text('utf-8')}\n{toml}", "utf-8")
    write_backup(run, tmp_path / "run.tar")  # as it was opened, with the state in its file
    with pytest.raises(RunDirError, match=message):
        restore(tmp_path / "run.tar", tmp_path / "second", standby=True)
    assert not (tmp_path / "second").exists()
