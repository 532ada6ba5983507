"""One expert by several volunteers: rounds of local steps, each followed by a mean, as `[tasks] lanes` has it.

<folder>/work/<part>/lane-0/...      snapshots and head of each lane
<folder>/work/<part>/mean/           the state that the next round starts from
<folder>/work/<part>/expert.safetensors, report.json

The last round is lane 0's alone.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from pathlib import Path

from benchmarks.small.clusters import shard
from benchmarks.small.parts import Part, last_round_start, task_of, weights_of
from benchmarks.small.settings import read_settings
from paris.experts.files import copy_whole, write_whole
from paris.experts.models.model import initial_expert
from paris.experts.training.commitments import FILES, NO_COMMITMENT, commitment_of, scheduled_folder
from paris.experts.training.config import Finished, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.experts.weights.averaging import average_files
from paris.experts.weights.checkpoint import load_tensors, save_tensors, specs_of

_OUTER_RATE, _MOMENTUM = 0.7, 0.9
"""Source: DiLoCo, Douillard et al., arXiv 2311.08105, section 3.1 and table 5."""


def train_in_lanes(folder: Path, part: Part) -> None:
    """Train a part to the end, or do nothing where that is done. Takes the process for itself.

    Args:
        folder: The benchmark's folder, with its shards.
        part: What, with `round_steps`.
    """
    if weights_of(folder, part).is_file():
        return
    began, work = time.monotonic(), folder / "work" / part.name
    shutil.rmtree(work, ignore_errors=True)
    task, head = task_of(folder, read_settings(folder), part, None), None
    for end in range(part.round_steps or 0, last_round_start(part) + 1, part.round_steps or 1):
        legs = [Leg(until_step=end, head=head, lane=lane) for lane in range(part.lanes)]
        ended = [_train(folder, part, task, leg) for leg in legs]
        head = _next_head(work, part, task, ended)
    _train(folder, part, task, Leg(until_step=part.steps, head=head))
    copy_whole(work / "lane-0" / "expert.safetensors", weights_of(folder, part))
    write_whole(work / "report.json", json.dumps({"seconds": round(time.monotonic() - began, 1)}).encode())


def _train(folder: Path, part: Part, task: TrainingTask, leg: Leg) -> Finished:
    work = folder / "work" / part.name
    lane = work / f"lane-{leg.lane}"
    shutil.rmtree(lane, ignore_errors=True)
    if leg.head is not None:
        shutil.copytree(work / "mean", lane / HEAD_FOLDER)
    path = shard(folder, part.clustering, part.cluster)
    return ExpertTraining(task, lane, lambda _: path, folder / "data", leg=leg).run(lambda _: None, lambda: False)


def _next_head(work: Path, part: Part, task: TrainingTask, ended: list[Finished]) -> Head:
    step = ended[0].step
    states = [scheduled_folder(work / f"lane-{lane}" / "snapshots", step) for lane in range(part.lanes)]
    means = {name: average_files([s / f"{name}.safetensors" for s in states], work / f"{name}.new") for name in FILES}
    if part.outer == "nesterov":
        means["weights"] = _outer_step(work, task)
    for name in FILES:
        copy_whole(work / f"{name}.new", work / "mean" / f"{name}.safetensors")
    commitment = commitment_of(NO_COMMITMENT, task.digest, step, means)
    loss = statistics.fmean(one.final_loss or 0.0 for one in ended)
    return Head(step=step, loss=loss, previous=NO_COMMITMENT, commitment=commitment, files=means)


def _outer_step(work: Path, task: TrainingTask) -> str:
    """Replace the mean of the weights by a Nesterov step towards it, from where the round began."""
    began = initial_expert(task.model, task.seed).state_dict()
    specs, momentum = specs_of(began), work / "momentum.safetensors"
    if (work / "mean").is_dir():
        began = load_tensors(work / "mean" / "weights.safetensors", specs)
    mean = load_tensors(work / "weights.new", specs)
    away = {name: began[name] - mean[name] for name in mean}
    if momentum.is_file():
        before = load_tensors(momentum, specs)
        moved = {name: _MOMENTUM * before[name] + away[name] for name in away}
    else:
        moved = away
    save_tensors(momentum, moved)
    stepped = {name: began[name] - _OUTER_RATE * (away[name] + _MOMENTUM * moved[name]) for name in away}
    return save_tensors(work / "weights.new", stepped)
