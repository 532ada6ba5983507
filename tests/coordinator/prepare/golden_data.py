"""The golden values of the demo's data, as `paris-coord prepare` leaves it on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from deadlines import DEADLINE_S
from golden_values import Golden

from paris.experts.files import file_sha256

RECIPE = "emoji"


def golden_data(folder: Path) -> dict[str, Golden]:
    """One case a cluster, and one of the files that all clusters share."""
    _run("init", str(folder / "run"), "--recipe", RECIPE)
    _run("prepare", str(folder / "run"))
    data = folder / "run" / "data"
    manifests = sorted((data / "manifests").glob("*.json"))
    shared = {name: file_sha256(data / name) for name in ("vocab.json", "attribution.parquet", "dropped.parquet")}
    return {"shared": Golden(bits=shared), **{path.stem: _cluster(data, path) for path in manifests}}


def _cluster(data: Path, manifest: Path) -> Golden:
    secret = data / "heldout" / f"{manifest.stem}.parquet"
    listed = json.loads(manifest.read_bytes())["shards"]
    files = {shard["path"]: data / shard["path"] for shard in listed}
    tables = [pq.read_table(path) for path in (*files.values(), secret)]
    pixels = [np.frombuffer(b"".join(table["latent"].to_pylist()), np.uint8) for table in tables]
    assert {shard["path"]: shard["sha256"] for shard in listed} == {
        name: file_sha256(path) for name, path in files.items()
    }
    return Golden(
        same={
            "rows": [shard["rows"] for shard in listed],
            "captions": [caption for table in tables[:-1] for caption in table["caption"].to_pylist()],
            "heldout captions": tables[-1]["caption"].to_pylist(),
        },
        bits={
            "manifest": file_sha256(manifest),
            **{shard["path"]: shard["sha256"] for shard in listed},
            "heldout": file_sha256(secret),
        },
        near={
            "pixels": [round(float(number), 3) for part in pixels for number in (part.mean(), part.std())],
        },
    )


def _run(*arguments: str) -> None:
    """In a process of its own: what another test set for the whole process must not count."""
    subprocess.run(
        [Path(sys.executable).with_name("paris-coord"), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        timeout=DEADLINE_S,
        check=True,
    )
