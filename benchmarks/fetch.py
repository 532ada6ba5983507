"""Bytes that the organiser's Hub sends to volunteers of one cluster: `python -m benchmarks.fetch`.

One, two, four and eight volunteers of one cluster, each in its own process, start fetching its shards at the same time:
without sharing, with sharing between reachable volunteers, and with two reachable of eight. A real embedded Hub counts
the bytes it sends. Everything runs on loopback.

The setup is scaled down: a shard has 1/128 of its 64 MiB, and time is 16 times as fast. Unscaled, each volunteer has a
line of 12.5 MB/s (100 Mbit/s), the default upload limit of 4 MB/s, a training speed of 50 rows a second, and waits two
minutes at most for its first window. Retry intervals of 0.5 to 10 s are not scaled, which makes the result worse.
Times are those of the slowest volunteer, as measured. Writes benchmarks/results/fetch.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.fetch_run import TOKEN, WINDOW_SHARDS, DataHub, Lead
from benchmarks.record import as_table, write_result

_COUNTS = (1, 2, 4, 8)
_MIB = 2**20
_END_S = 600
_SHRINK, _FASTER = 128, 16
_ROW_BYTES, _REAL_SHARD_BYTES = 2**13, 2**26
_LINE_BYTES_PER_S, _UPLOAD_BYTES_PER_S, _ROWS_PER_S = 12_500_000, 4_000_000, 50
_PACE = _ROWS_PER_S * _FASTER / _SHRINK
_SETTINGS = f"""share_shards = {{share}}
host_dht = {{listen}}
startup_timeout_s = 600
download_bytes_per_s = {_LINE_BYTES_PER_S * _FASTER // _SHRINK}
upload_bytes_per_s = {_UPLOAD_BYTES_PER_S * _FASTER // _SHRINK}
"""


class Volunteer:
    """One volunteer's process.

    Args:
        run_json: What it joins.
        home: Its home; made.
        settings: Its config.toml.
    """

    def __init__(self, run_json: Path, home: Path, settings: str) -> None:
        home.mkdir(parents=True)
        (home / "config.toml").write_text(settings, "utf-8")
        with (home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.fetch_volunteer", str(run_json), str(home), str(_PACE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PARIS_HUB_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"},
                text=True,
            )
        self._log = home / "log"

    def begin(self) -> None:
        """Let it fetch."""
        self._pipe("stdin").write("\n")
        self._pipe("stdin").flush()

    def line(self) -> dict[str, Any]:
        """The next line of its output."""
        text = self._pipe("stdout").readline()
        if not text:
            raise RuntimeError(f"a volunteer ended: {self._log.read_text('utf-8')[-2000:]}")
        return dict(json.loads(text))

    def end(self) -> None:
        """Let it leave."""
        self._pipe("stdin").close()
        self._process.wait(_END_S)

    def _pipe(self, name: str) -> Any:
        return getattr(self._process, name)


def measure(folder: Path, hub: DataHub, volunteers: int, listening: int, sharing: bool) -> dict[str, Any]:
    """One row: some volunteers fetch the whole cluster at the same time.

    Args:
        folder: An empty one.
        hub: Holds the data, and counts.
        volunteers: How many.
        listening: How many of them others can reach.
        sharing: Whether they share.
    """
    before = hub.shard_bytes()
    lead = Lead(hub, folder / "run.json")
    crew: list[Volunteer] = []
    try:
        for number in range(volunteers):
            settings = _SETTINGS.format(share=str(sharing).lower(), listen=str(number < listening).lower())
            settings += f'hub_token_endpoint = "{hub.url}"\n'
            crew.append(Volunteer(folder / "run.json", folder / f"volunteer-{number}", settings))
        for volunteer in crew:
            volunteer.line()
        for volunteer in crew:
            volunteer.begin()
        figures = [volunteer.line() for volunteer in crew]
    finally:
        for volunteer in crew:
            volunteer.end()
        lead.stop()
    return {
        "volunteers": volunteers,
        "listening": listening if sharing else 0,
        "sharing": sharing,
        "data_bytes": hub.manifest.num_bytes,
        "hub_bytes": hub.shard_bytes() - before,
        "peer_bytes": sum(one["bytes_from_peers"] for one in figures),
        **{name: round(max(one[name] for one in figures), 2) for name in ("first_step_s", "stalled_s", "all_s")},
    }


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    headings = (
        "volunteers",
        "sharing",
        "from the Hub",
        "times the data",
        "from peers",
        "first step",
        "stood still",
        "all",
    )
    return as_table(headings, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["volunteers"]),
        f"yes, {row['listening']} can be reached" if row["sharing"] else "no",
        f"{row['hub_bytes'] / _MIB:.1f} MiB",
        f"{row['hub_bytes'] / row['data_bytes']:.2f}",
        f"{row['peer_bytes'] / _MIB:.1f} MiB",
        f"{row['first_step_s']:.1f} s",
        f"{row['stalled_s']:.1f} s",
        f"{row['all_s']:.1f} s",
    )


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=96, help="shards of the cluster")
    parser.add_argument("--volunteers", type=int, nargs="+", default=_COUNTS)
    parser.add_argument(
        "--reach", type=int, nargs="*", default=None, help="how many can be reached; default: see above"
    )
    parser.add_argument("--out", type=Path, default=None, help="file to write instead of benchmarks/results/fetch.json")
    given = parser.parse_args()
    most = max(given.volunteers)
    if given.reach is None:
        cases = [(count, count, sharing) for count in given.volunteers for sharing in (False, True)]
        cases += [(most, 2, True)] if most > 2 else []
    else:
        cases = [(most, reached, True) for reached in given.reach]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        hub = DataHub(Path(temporary), given.shards, _REAL_SHARD_BYTES // _SHRINK // _ROW_BYTES)
        for number, case in enumerate(cases):
            folder = Path(temporary) / f"case-{number}"
            folder.mkdir()
            rows.append(measure(folder, hub, *case))
            print(show(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        hub.stop()
    print(show(rows))
    scale = {"bytes_divided_by": _SHRINK, "time_divided_by": _FASTER, "window_shards": WINDOW_SHARDS}
    write_result("fetch", rows, out=given.out, shards=given.shards, scale=scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
