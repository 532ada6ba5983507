"""Train arms on a small data set: `python -m benchmarks.small.train --out FOLDER [--dataset digits] [--arms ...]`.

Each stage is skipped where the folder has its result, and training goes on from its last snapshot: start the same
command again after any interruption.

<folder>/data/          classifiers, clusters, vocabulary
<folder>/work/          trained parts and routers
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from pathlib import Path

import torch

from benchmarks.small.arms import MONOLITH, Arm, arm
from benchmarks.small.clusters import write_clusters
from benchmarks.small.datasets import load_split
from benchmarks.small.judge import open_judge, open_scout
from benchmarks.small.parts import Part, train_part, weights_of
from benchmarks.small.pool import processes
from benchmarks.small.routers import SAMPLED, are_trained, train_routers
from benchmarks.small.settings import QUICK, SmallSettings, keep_settings
from benchmarks.small.students import train_routers_on_samples, train_student
from paris.experts.errors import ExpertError
from paris.experts.frozen.text_vocabulary import split_words, write_vocabulary


def prepare(folder: Path, settings: SmallSettings, clusterings: Iterable[str]) -> None:
    """The two classifiers, the vocabulary, the clusters and their shards.

    Args:
        folder: The benchmark's folder.
        settings: Its settings.
        clusterings: Their names.
    """
    keep_settings(folder, settings)
    torch.set_num_threads(1)  # so small a network is only slowed by more, and its sums would not be the same
    parts = load_split(settings.dataset)
    judge, scout = open_judge(folder, settings), open_scout(folder, settings)
    vocabulary = folder / "data" / "vocab.json"
    if not vocabulary.is_file():
        words = sorted({word for caption in parts[0].captions for word in split_words(caption)})
        write_vocabulary(vocabulary, words)
        accuracy = judge.recognised(judge.heldout.pixels, judge.heldout.labels)
        print(
            f"{settings.dataset}: the judge knows {accuracy:.1%} of {len(judge.heldout)} held-out pictures", flush=True
        )
    for clustering in clusterings:
        write_clusters(folder, clustering, settings, parts, scout)


def train(folder: Path, arms: Sequence[Arm], jobs: int) -> None:
    """Every part in a process of its own, `jobs` at a time, as on machines that know nothing of each other.

    Args:
        folder: A prepared folder.
        arms: What for; a part of two arms is trained once.
        jobs: Processes at a time, each of one thread.
    """
    starts = {part.name: part for one in arms for part in one.starts}
    parts = {part.name: part for one in arms for part in (*one.parts, *one.teachers) if not part.is_student}
    routers = {name: None for one in arms if not one.is_monolith for name in (one.clustering, one.routers)}
    of_data = [name for name in routers if name and not (name.endswith(SAMPLED) or are_trained(folder, name))]
    # A process for nothing costs seconds: what is there is not asked for.
    missing = [part for part in parts.values() if not weights_of(folder, part).is_file()]
    longest_first = sorted(missing, key=lambda part: -part.steps * part.batch_size)
    with processes(jobs, tasks_each=1) as pool:
        _all(
            [
                pool.submit(train_part, folder, part)
                for part in starts.values()
                if not weights_of(folder, part).is_file()
            ]
        )
        running = [pool.submit(_train_one, folder, part, starts) for part in longest_first]
        _all(running + [pool.submit(train_routers, folder, name) for name in of_data])
        running = [pool.submit(train_student, folder, one.parts[0], one.teachers) for one in arms if one.teachers]
        sampled = [one for one in arms if one.routers.endswith(SAMPLED)]
        _all(running + [pool.submit(train_routers_on_samples, folder, one.clustering, one.parts) for one in sampled])


def training_seconds(folder: Path, arms: Sequence[Arm]) -> float:
    """What the parts and routers of some arms took, each in a process; of one that was interrupted, its last start.

    Args:
        folder: With all of them trained.
        arms: What for; a part of two arms counts once.
    """
    names = {part.name for one in arms for part in (*one.parts, *one.starts, *one.teachers)}
    names |= {f"router.{one.routers or one.clustering}" for one in arms if not one.is_monolith}
    reports = [folder / "work" / name / "report.json" for name in sorted(names)]
    return round(sum(json.loads(report.read_bytes())["seconds"] for report in reports), 1)


def main() -> int:
    """All stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make, or to go on with")
    parser.add_argument("--dataset", choices=("digits", "fashion", "emoji"), default="digits")
    parser.add_argument("--arms", nargs="+", default=[MONOLITH, "semantic-4"], help="see benchmarks/small/arms.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3900, help="optimizer steps of each expert")
    parser.add_argument("--quick", action="store_true", help="a minute in all: every stage, blurred pictures")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, each of one thread")
    given = parser.parse_args()
    try:
        wanted = {"dataset": given.dataset, "seed": given.seed, "steps": given.steps, **(QUICK if given.quick else {})}
        settings = SmallSettings.from_settings(wanted)
        arms = [arm(name, settings) for name in given.arms]
        prepare(given.out, settings, clusterings_of(arms))
        train(given.out, arms, given.jobs)
    except ExpertError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"Trained in {given.out}: {', '.join(given.arms)}.")
    return 0


def clusterings_of(arms: Iterable[Arm]) -> list[str]:
    """Names of the clusterings that arms need, those of the parts that they start from too."""
    return list(dict.fromkeys(part.clustering for one in arms for part in (*one.parts, *one.starts)))


def _train_one(folder: Path, part: Part, starts: dict[str, Part]) -> None:
    train_part(folder, part, starts[part.start] if part.start else None)


def _all(running: list[Future[None]]) -> None:
    """Wait for all, or for the first that fails: the rest is then not begun."""
    done, waiting = wait(running, return_when=FIRST_EXCEPTION)
    for one in waiting:
        one.cancel()
    for one in done:
        one.result()


if __name__ == "__main__":
    sys.exit(main())
