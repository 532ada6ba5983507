"""The run of benchmarks/real_swarm.py: `paris-coord serve` on made data, one small shard a cluster."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.tasks import open_tasks
from paris.experts.data.shards import Row, write_shard
from paris.experts.files import file_sha256, write_whole
from paris.experts.frozen.text_vocabulary import write_vocabulary

_ROWS, _HELDOUT_ROWS = 8, 4
_WORDS = ("red", "heart")
_PERIODS = {
    "heartbeat_every_s": "60",
    "tick_every_s": "2",
    "lease_s": "3600",
    # Nobody trains: no lease may fall behind the curve while the benchmark runs.
    "deadline_s": "864000",
    "grace_s": "86400",
}
"""The periods of a real run, in place of those of the demo."""


def make_run(folder: Path, num_experts: int) -> RunDir:
    """A prepared run with open tasks.

    Args:
        folder: Missing or empty.
        num_experts: K.
    """
    made = create_run(folder, recipe="emoji", name="real-swarm")
    path = made.path / "run.toml"
    text = path.read_text("utf-8")
    for name, value in {**_PERIODS, "num_experts": str(num_experts), "total_batch_size": str(8 * num_experts)}.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        if count == 0:
            text = text.replace("[tasks]\n", f"[tasks]\n{name} = {value}\n", 1)
    path.write_text(text, "utf-8")
    run = RunDir.open(made.path)
    words = write_vocabulary(run.data / "vocab.json", sorted(_WORDS))
    size = int(run.config.data["image_size"])
    for cluster in range(num_experts):
        name = f"shards/cluster-{cluster:03d}/shard-00000.parquet"
        shard = run.data / name
        _write(shard, cluster, _ROWS, size)
        entry = {"path": name, "sha256": file_sha256(shard), "bytes": shard.stat().st_size, "rows": _ROWS}
        manifest = json.dumps({"cluster": cluster, "shards": [entry]})
        write_whole(run.data / "manifests" / f"cluster-{cluster:03d}.json", manifest.encode())
        _write(run.heldout_files[cluster], num_experts + cluster, _HELDOUT_ROWS, size)
    prepared = {"text": {"path": "vocab.json", "sha256": words}, "config": {"embedder": "efficientnet-lite0"}}
    write_whole(run.data / "prepared.json", json.dumps(prepared).encode())
    open_tasks(run, despite_plan=True)
    return run


def serve(run: RunDir, log: Path) -> subprocess.Popen[bytes]:
    """Start `paris-coord serve`.

    Args:
        run: From `make_run`.
        log: Gets what it prints.
    """
    with log.open("wb") as out:
        command = [sys.executable, "-m", "paris.coordinator.cli.app", "serve", str(run.path), "--json"]
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)


def _write(path: Path, seed: int, count: int, size: int) -> None:
    dice = np.random.default_rng(seed)
    caption = f"a {' '.join(_WORDS)}"
    rows = [
        Row(
            row_id=f"{seed}-{number}",
            latent=dice.integers(0, 256, (3, size, size)).astype(np.uint8),
            caption=caption,
            source="made",
            url="",
            author="nobody",
            licence="cc0-1.0",
            caption_origin="made",
        )
        for number in range(count)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_shard(path, rows, (3, size, size), "uint8")
