"""Several volunteers on one expert, by local steps and means, against one volunteer: is it worth it?

    python -m benchmarks.lanes --work FOLDER            digits, one seed; a few minutes of a core
    python -m benchmarks.lanes --work FOLDER --quick    every stage in minutes, to test the command

Experts of two of eight clusters of digits are trained in several ways, and judged by their loss on held-out rows. Steps
are those of each volunteer, so they stand for wall time; all volunteers' steps together stand for compute. As in a run,
the last round is one volunteer's alone. After an interruption run the same command again.

Writes benchmarks/results/lanes.json and its table in docs/quality.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.marked import replace_between
from benchmarks.quality_plan import Plan
from benchmarks.record import write_result
from benchmarks.small.lanes import train_in_lanes
from benchmarks.small.losses import own_loss
from benchmarks.small.parts import Part, train_part
from benchmarks.small.pool import processes
from benchmarks.small.settings import QUICK, SmallSettings
from benchmarks.small.train import prepare
from paris.experts.errors import ExpertError

_CLUSTERING, _CLUSTERS = "semantic-8", (0, 1)
_BATCH = 16
_DOC = Path(__file__).resolve().parents[1] / "docs" / "quality.md"
_BEGIN = "<!-- lanes: python -m benchmarks.lanes -->\n"
_END = "<!-- end of lanes -->\n"


class Way(NamedTuple):
    """One way to train each expert."""

    volunteers: int
    share: float
    """Steps of each volunteer, as a share of the plan's."""
    rounds: int | None = None
    """None: one volunteer, without rounds."""
    outer: str = "mean"
    batch_size: int = _BATCH

    def part(self, cluster: int, steps: int) -> Part:
        """The training of one cluster's expert; `steps` are the plan's."""
        own = round(self.share * steps)
        rounds = {} if self.rounds is None else {"lanes": self.volunteers, "round_steps": own // self.rounds}
        return Part(
            clustering=_CLUSTERING,
            cluster=cluster,
            batch_size=self.batch_size,
            steps=own,
            outer=self.outer,
            **rounds,
        )


WAYS = (
    Way(1, 1),
    Way(2, 1, 30),
    Way(1, 2),
    Way(4, 1, 30),
    Way(2, 1, 2),
    Way(1, 1, batch_size=2 * _BATCH),
    Way(2, 1, 30, "nesterov"),
)


def measure(folder: Path, settings: SmallSettings, ways: tuple[Way, ...], jobs: int) -> Iterator[dict[str, Any]]:
    """Train and measure: one row a way, each as soon as it is known.

    Args:
        folder: The benchmark's folder.
        settings: Its settings.
        ways: How experts are trained.
        jobs: Processes at a time.
    """
    prepare(folder, settings, [_CLUSTERING])
    with processes(jobs) as pool:
        for one in ways:
            parts = [one.part(cluster, settings.steps) for cluster in _CLUSTERS]
            for done in [pool.submit(train_in_lanes if one.rounds else train_part, folder, part) for part in parts]:
                done.result()
            losses = [done.result() for done in [pool.submit(own_loss, folder, part) for part in parts]]
            yield _row(one, parts, losses, settings)


def _row(one: Way, parts: list[Part], losses: list[float], settings: SmallSettings) -> dict[str, Any]:
    return {
        "volunteers": one.volunteers,
        "steps": parts[0].steps,
        "batch_size": one.batch_size,
        "round_steps": parts[0].round_steps,
        "outer": one.outer,
        "training_tflop": round(sum(part.flops(settings) for part in parts) / 1e12, 4),
        "heldout_losses": [round(loss, 5) for loss in losses],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For docs/quality.md."""
    lines = [
        "| volunteers an expert | steps of each | batch of each | steps a round | compute | held-out loss | of one's |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    first = statistics.fmean(rows[0]["heldout_losses"])
    for row in rows:
        every = row["round_steps"] or "-"
        rounds = f"{every}, outer Nesterov" if row["outer"] == "nesterov" else str(every)
        compute, loss = row["training_tflop"] / rows[0]["training_tflop"], statistics.fmean(row["heldout_losses"])
        cells = (row["volunteers"], row["steps"], row["batch_size"], rounds, f"{compute:.2f}")
        lines.append(f"| {' | '.join(map(str, cells))} | {loss:.4f} | {loss / first:.3f} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is trained; gone on with")
    parser.add_argument("--quick", action="store_true", help="every stage in minutes, on blurs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200, help="optimizer steps of each volunteer")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, each of one thread")
    given = parser.parse_args()
    changes = dict(QUICK) if given.quick else {"steps": given.steps}
    settings = Plan(("digits",), (given.seed,), (), (), changes).settings("digits", given.seed)
    rows: list[dict[str, Any]] = []
    out = given.work / "lanes.json" if given.quick else None
    try:
        for row in measure(given.work, settings, WAYS[:2] if given.quick else WAYS, given.jobs):
            rows.append(row)
            print(
                write_result("lanes", rows, seeds=(given.seed,), out=out, settings=settings.to_settings()), flush=True
            )
    except ExpertError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(table(rows))
    if not given.quick:
        replace_between(_DOC, _BEGIN, table(rows), _END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
