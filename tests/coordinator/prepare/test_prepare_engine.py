"""Where a preparation runs: this machine, a real Ray cluster of two nodes on loopback, a GPU for each process."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pytest
from deadlines import DEADLINE_S

from benchmarks.local_ray import local_ray
from paris.coordinator.prepare import prepare, prepare_config
from paris.coordinator.prepare.compute.engine import Engine, result_batches
from paris.coordinator.prepare.errors import EngineError

NAMES = ("red heart", "blue heart", "green heart", "taxi", "bus", "tractor", "winking face", "nerd face", "zany face")
SOURCE = {"kind": "twemoji", "names": NAMES, "heldout_names": ()}
SETTINGS = {"source": SOURCE, "num_clusters": 2, "heldout_rows": 1, "rows_per_shard": 2}
ON_RAY = """
import json, sys
from pathlib import Path
from paris.coordinator.prepare import prepare, prepare_config
from paris.coordinator.prepare.compute import engine
from paris.experts.errors import ExpertError
engine._TASK_ROWS = 3
where = engine.Engine(ray_address=sys.argv[1], models=json.loads(sys.argv[4]))
settings = json.loads(sys.argv[3])
made = prepare(prepare_config(settings), Path(sys.argv[2]), engine=where)
print(json.dumps([cluster.manifest_sha256 for cluster in made.clusters]))
try:
    prepare(prepare_config({**settings, "embedder": "no/such/network"}), Path(sys.argv[2] + "-2"), engine=where)
except ExpertError as error:
    print(json.dumps(error.what))
"""


@pytest.mark.long
@pytest.mark.parametrize("models", [None, 2])
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
def test_two_ray_nodes_make_the_same_files_as_this_machine(tmp_path: Path, models: int | None) -> None:
    here = prepare(prepare_config(SETTINGS), tmp_path / "here")
    with local_ray(2) as (address, environment):
        command = [sys.executable, "-c", ON_RAY, address, str(tmp_path / "ray"), json.dumps(SETTINGS)]
        done = subprocess.run(
            [*command, json.dumps(models)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        )
    digests, refused = (json.loads(line) for line in done.stdout.splitlines() if line[0] in '["')
    assert digests == [cluster.manifest_sha256 for cluster in here.clusters]
    assert "no/such/network" in refused


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
def test_a_ray_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from paris.coordinator.prepare.compute.engine import Engine\n"
        "from paris.coordinator.prepare.errors import EngineError\n"
        "try:\n    Engine(ray_address='127.0.0.1:9').start()\n"
        "except EngineError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert "The Ray cluster 127.0.0.1:9 cannot be used" in done.stdout


def test_daft_prints_no_line_for_each_query_at_a_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    frame = Engine().frame(pa.table({"row": [1, 2]}))
    assert sum(len(batch) for batch in result_batches(frame.where("row > 1"))) == 1  # a frame as it is needs no query
    assert "Query ID" not in capsys.readouterr().err


def test_copies_of_the_model_on_one_machine_make_the_same_files(tmp_path: Path) -> None:
    one = prepare(prepare_config(SETTINGS), tmp_path / "one")
    two = prepare(prepare_config(SETTINGS), tmp_path / "two", engine=Engine(models=2))
    assert [c.manifest_sha256 for c in one.clusters] == [c.manifest_sha256 for c in two.clusters]


def test_a_device_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no device 'cuda:7' on this machine"):
        prepare(prepare_config(SETTINGS), tmp_path, engine=Engine(device="cuda:7"))
    assert not list(tmp_path.iterdir())


def _claim(pipe: Connection, names: list[str]) -> None:
    from paris.coordinator.prepare.compute.devices import claim

    pipe.send(claim(names))
    pipe.recv()


def test_each_process_computes_on_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    spawn = multiprocessing.get_context("spawn")
    pipes, children = [], []
    claimed = []
    for _ in range(3):
        ours, theirs = spawn.Pipe()
        child = spawn.Process(target=_claim, args=(theirs, ["GPU-a", "GPU-b"]))
        child.start()
        claimed.append(ours.recv())
        pipes.append(ours)
        children.append(child)
    assert claimed == [0, 1, None]
    children[0].kill()
    children[0].join(DEADLINE_S)
    ours, theirs = spawn.Pipe()
    last = spawn.Process(target=_claim, args=(theirs, ["GPU-a", "GPU-b"]))
    last.start()
    assert ours.recv() == 0
    for pipe, child in [*zip(pipes[1:], children[1:], strict=True), (ours, last)]:
        pipe.send(None)
        child.join(DEADLINE_S)
