"""Makes a fixture of `test_older_runs.py` with this version: python tests/swarm/write_run_fixture.py NAME

A run directory and two homes in the middle of a run. To be run before a change of what is on disk, never after it.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

from swarm import TINY, Process, command, status, wait_until

_LIMIT_S = 900.0
_RECIPE = {
    "deadline_s = 600": "deadline_s = 86400",
    "steps = 240": "steps = 3000",
    "snapshot_every = 30": "snapshot_every = 100",
    "train_after = 2": "train_after = 0",
}
_LEFT_OUT = {"logs", "sequence.lock"}


def write_fixture(name: str, out: Path) -> None:
    """Write `run-NAME.tar.xz`.

    Args:
        name: Of the version, such as "0.2.0".
        out: Folder of the archive.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / f"run-{name}"
        folder.mkdir()
        _make(folder)
        with tarfile.open(out / f"run-{name}.tar.xz", "w:xz") as archive:
            archive.add(folder, folder.name, filter=_plain)


def _make(folder: Path) -> None:
    run, recipe = folder / "run", folder.parent / "recipe.toml"
    text = TINY.read_text("utf-8")
    for old, new in _RECIPE.items():
        assert old in text
        text = text.replace(old, new)
    recipe.write_text(text.replace("hidden_size = 48, num_layers = 2", "hidden_size = 16, num_layers = 1"))
    for arguments in (("init", str(run), "--recipe", str(recipe)), ("prepare", str(run)), ("publish-tasks", str(run))):
        result = command("paris-coord", *arguments)
        assert result.returncode == 0, result.stderr
    started = [Process(folder.parent, "coordinator", "paris-coord", "serve", str(run), "--json")]
    try:
        wait_until(run.joinpath("run.json").is_file, _LIMIT_S, "run.json")
        for person in ("ada", "ben"):
            home = ("--home", str(folder / person), "--name", person, "--threads", "1", "--device", "cpu", "--json")
            started.append(Process(folder.parent, person, "paris-node", "join", str(run / "run.json"), *home))
            wait_until(lambda: started[-1].event("leased"), _LIMIT_S, f"{person}'s lease")
        _, ada, ben = started
        wait_until(lambda: ben.event("snapshot"), _LIMIT_S, "ben's first snapshot")
        ben.kill()
        wait_until(lambda: status(run)["tasks"][0]["state"] == "registered", _LIMIT_S, "ada's expert")
        wait_until(lambda: ada.event("verdict"), _LIMIT_S, "ada knows")
    finally:
        for process in reversed(started):
            process.stop()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without logs, and without names of this machine's users."""
    if Path(member.name).name in _LEFT_OUT or member.name.endswith(("-wal", "-shm")):
        return None
    member.uname = member.gname = ""
    member.uid = member.gid = 0
    return member


if __name__ == "__main__":
    write_fixture(sys.argv[1], Path(__file__).parents[1] / "fixtures")
