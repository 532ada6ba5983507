"""Cost of `prepare`: rows a second, peak memory, bytes a row, on one machine and on two Ray nodes.

    python -m benchmarks.prepare [--rows 10000 100000 1000000] [--no-ray] [--folder DIR] [--out FILE]

Data: synthetic pictures of 32x32 pixels from a folder. "stand-in": embedded by a tiny random DINOv2 and stored as
pixels, so that the networks cost little. "latents": with that DINOv2 and a tiny random VAE, whose latents have the
size of sd-vae-ft-mse's at 256 pixels (4x32x32 float16); 10 000 rows. Each case is a fresh process. Peak memory is
reported as anonymous memory, which the system cannot reclaim, and as resident memory. The Ray case prepares the same
rows on two Ray nodes of one core each. Writes benchmarks/results/prepare.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.local_ray import local_ray
from benchmarks.made_pictures import make_networks, make_pictures
from benchmarks.record import as_table, write_result
from paris.protocol.canonical import digest

_LATENT_ROWS = 10_000
_SAMPLED_EVERY_S = 0.02
_MIB = 2**20


def measure(folder: str, rows: int, kind: str, ray_address: str | None = None) -> dict[str, Any]:
    """Prepare the first rows; runs in the fresh process.

    Args:
        folder: Where pictures, networks and the outcome are.
        rows: How many pictures.
        kind: "stand-in" or "latents".
        ray_address: Of a cluster to compute on.
    """
    from paris.coordinator.prepare import prepare, prepare_config
    from paris.coordinator.prepare.compute.engine import Engine

    root, out = Path(folder), Path(folder) / "out"
    shutil.rmtree(out, ignore_errors=True)
    codec = {"kind": "vae", "path": "vae"} if kind == "latents" else {"kind": "pixels"}
    settings = {
        "source": {"kind": "folder", "path": str(root / f"pictures-{rows}"), "licence": "cc0-1.0"},
        "image_size": 64 if kind == "latents" else 32,
        "num_clusters": 8,
        "embedder": str(root / "dinov2"),
        "view_px": 32,
        "codec": codec,
        "heldout_rows": 64,
    }
    ended, peak, stages = threading.Event(), [0], {}
    watcher = threading.Thread(target=_watch, args=(ended, peak))
    watcher.start()
    begun = last = time.perf_counter()
    now = ""

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last, now
        time_now = time.perf_counter()
        stages[now or "list"] = stages.get(now or "list", 0.0) + time_now - last
        last, now = time_now, stage

    made = prepare(prepare_config(settings), out, progress, engine=Engine(ray_address=ray_address), codec_folder=root)
    seconds = time.perf_counter() - begun
    ended.set()
    watcher.join()
    data_bytes = sum(cluster.data_bytes for cluster in made.clusters)
    return {
        "kind": kind,
        "runner": "ray, 2 nodes" if ray_address else "native",
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_s": round(rows / seconds, 1),
        "peak_anonymous_mib": round(peak[0] / _MIB),
        "peak_resident_mib": round(_status("VmHWM") / _MIB),
        "row_bytes": round(data_bytes / made.num_rows),
        "stages_s": {stage: round(spent, 1) for stage, spent in stages.items()},
        "digest": digest(json.dumps([cluster.manifest_sha256 for cluster in made.clusters]).encode()),
    }


def _status(field: str) -> int:
    """A field of /proc/self/status, bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return int(lines[field].split()[0]) * 1024


def _watch(ended: threading.Event, peak: list[int]) -> None:
    while not ended.wait(_SAMPLED_EVERY_S):
        peak[0] = max(peak[0], _status("RssAnon"))


def in_fresh_process(environment: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """Call `measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.prepare", "--one", json.dumps(arguments)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True).stdout
    found = json.loads(output.splitlines()[-1])
    print(json.dumps(found), file=sys.stderr)
    return dict(found)


def measured(root: Path, counts: list[int], *, with_ray: bool) -> list[dict[str, Any]]:
    """All cases."""
    make_networks(root)
    rows = []
    for count in counts:
        make_pictures(root / f"pictures-{count}", count)
        rows.append(in_fresh_process(folder=str(root), rows=count, kind="stand-in"))
    smallest = min(counts)
    if with_ray:
        with local_ray(2) as (address, environment):
            again = in_fresh_process(environment, folder=str(root), rows=smallest, kind="stand-in", ray_address=address)
        rows.append(again)
    if smallest <= _LATENT_ROWS:
        rows.append(in_fresh_process(folder=str(root), rows=smallest, kind="latents"))
    return rows


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--no-ray", action="store_true", help="leave the Ray case out")
    parser.add_argument("--folder", type=Path, help="keep pictures and the last outcome here")
    parser.add_argument("--out", type=Path, help="the file to write")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(**json.loads(options.one))))
        return 0
    with tempfile.TemporaryDirectory() as made:
        rows = measured(options.folder or Path(made), sorted(options.rows), with_ray=not options.no_ray)
    headings = (
        "kind",
        "runner",
        "rows",
        "seconds",
        "rows_per_s",
        "peak_anonymous_mib",
        "peak_resident_mib",
        "row_bytes",
    )
    print(as_table(headings, [[str(row[name]) for name in headings] for row in rows]))
    same = {row["rows"]: {other["digest"] for other in rows if _alike(row, other)} for row in rows}
    print(
        write_result(
            "prepare", rows, out=options.out, same_digest_on_both_runners=all(len(d) == 1 for d in same.values())
        )
    )
    return 0


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["kind"], one["rows"]) == (other["kind"], other["rows"])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
