"""One seed of `benchmarks.attacks`: a world with its Hub, and each asked-for submission judged in the real child.

python -m benchmarks.attacks_seed SEED < names, one a line > trials, one JSON line each
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import psutil
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import disable_progress_bars

from paris.coordinator.children import Children
from paris.coordinator.hub.server import HubServer
from paris.coordinator.service.verifying import VerifyingProcesses
from paris.coordinator.verify import Report, VerificationCase, VerificationRequest, read_report, write_case

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path += [str(TESTS), str(TESTS / "coordinator" / "verify"), str(TESTS / "swarm" / "attacks")]

from catalogue import ATTACKS  # noqa: E402
from honest_work import HONEST  # noqa: E402
from verify_world import REPO, World, make_data  # noqa: E402

MAKERS: dict[str, Callable[[World], Any]] = {
    **{f"attack: {name}": attack.make for name, attack in ATTACKS.items()},
    **{f"honest: {work.name}": work.make for work in HONEST},
}
"""What makes each submission, by the name that a trial has."""


@contextlib.contextmanager
def seeded_world(seed: int, folder: Path) -> Iterator[World]:
    """A world of its own data, weights and secret draws."""
    make_data(folder, seed)
    huggingface_hub.constants.HF_HUB_DISABLE_XET = True
    with HubServer(folder / "hub", open_registration=True) as hub:
        token = (folder / "hub" / "admin.token").read_text().strip()
        api = HfApi(endpoint=hub.url, token=token)
        api.create_repo(REPO)
        api.create_commit(REPO, [CommitOperationAdd("notes.txt", b"A run.\n")], commit_message="Begin")
        yield World(folder, hub.url, token, seed=seed)


class Judge:
    """The coordinator's verifying process, and what it costs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children = Children(folder / "logs")
        self._processes = VerifyingProcesses(self._children)

    def judge(self, case: VerificationCase) -> tuple[Report, float]:
        """The report, and the CPU seconds of the child on it."""
        before = self._cpu_s()
        write_case(case, self._folder / "case.json")
        report = self._folder / "report.json"
        log = self._folder / "verify.log"
        request = VerificationRequest(case=self._folder / "case.json", report=report, log=log, token=case.token)
        self._processes.verify(request)
        return read_report(report), self._cpu_s() - before

    def stop(self) -> None:
        """End the process."""
        self._children.stop()

    @staticmethod
    def _cpu_s() -> float:
        """Of all verifying processes so far."""
        times = [child.cpu_times() for child in psutil.Process().children()]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(spent.user + spent.system for spent in times) + ended.ru_utime + ended.ru_stime


def trial(world: World, judge: Judge, name: str) -> dict[str, Any]:
    """Make one submission and have it judged."""
    MAKERS[name](world)  # trains; several attacks share a training, whose cost the catalogue states
    began = time.thread_time()
    attempt, how = MAKERS[name](world)
    case = attempt.case(**how)
    made_s = time.thread_time() - began
    report, judged_s = judge.judge(case)
    last = report.rungs[-1]
    code = report.reason.partition(": ")[0]
    return {
        "name": name,
        "seed": world.seed,
        "refused_by": "" if report.accepted else code,
        "figure": last.record().figure,
        "bound": last.record().bound,
        "made_cpu_s": round(made_s, 3),
        "judged_cpu_s": round(judged_s, 3),
        "rungs_s": {rung.name: round(rung.seconds, 4) for rung in report.rungs},
        "honest_cpu_s": round(world.train(0).cpu_s, 3),
    }


def main() -> int:
    """Judge what standard input names."""
    warnings.simplefilter("ignore")
    disable_progress_bars()
    seed, names = int(sys.argv[1]), sys.stdin.read().splitlines()
    with tempfile.TemporaryDirectory() as text, seeded_world(seed, Path(text)) as world:
        judge = Judge(Path(text))
        try:
            world.train(0)
            judge.judge(MAKERS["attack: no commit"](world)[0].submit())  # imports
            for name in names:
                print(json.dumps(trial(world, judge, name)), flush=True)
        finally:
            judge.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
