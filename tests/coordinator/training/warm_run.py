"""A run of two clusters of small pictures that asks for a warm start, and what happens to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from released_run import prepared_run

from paris.coordinator.run.config import dump_config
from paris.coordinator.run.directory import RunDir
from paris.coordinator.training.warm_start import warm_start_run
from paris.experts.files import write_whole

STEPS = 60


def prepared_warm_run(folder: Path) -> RunDir:
    """Its data prepared, its start not trained."""
    return prepared_run(folder, warm_start_steps=STEPS, snapshot_every=20)


def warm_copy_of(run: RunDir, folder: Path) -> RunDir:
    """With its start trained in one go."""
    warm = copy_of(run, folder)
    train(warm)
    return warm


def copy_of(run: RunDir, folder: Path) -> RunDir:
    """One that a test may damage."""
    return RunDir.open(Path(shutil.copytree(run.path, folder / "run")))


def train(run: RunDir, should_stop=lambda: False) -> None:
    """As the command does."""
    warm_start_run(run, None, should_stop, as_json=True)


def changed(run: RunDir, name: str, **fields: object) -> RunDir:
    """The same folder with other fields of one table; None leaves a field out."""
    tables = run.config.model_dump(exclude_none=True)
    table = {field: value for field, value in {**tables[name], **fields}.items() if value is not None}
    config = type(run.config).model_validate({**tables, name: table})
    write_whole(run.path / "run.toml", dump_config(config).encode())
    return RunDir.open(run.path)


def change_data(run: RunDir) -> None:
    """As if it were prepared with other captions: as many rows, another digest."""
    path = run.data / "manifests" / "cluster-000.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))


def json_lines(capsys) -> list[dict]:
    """The JSON lines since the last look."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def start_file(run: RunDir) -> bytes:
    """The weights that all experts start from."""
    return (run.data / "initial_weights.safetensors").read_bytes()
