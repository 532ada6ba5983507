"""What it costs to round the state between legs: `python -m benchmarks.leg_state --work FOLDER`.

A small model learns all digits; every few steps its state is rounded as a leg's would be, and training goes on from
that. Each form is compared, seed by seed, with the exact one: by the loss of the EMA weights on held-out rows. For
scale: how much the exact one differs between seeds, and on a machine that rounds otherwise (half micro-batches).

Writes benchmarks/results/leg_state.json and the table in docs/organisers/legs.md. A quarter of an hour of a core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.marked import replace_between
from benchmarks.record import RESULTS, write_result
from benchmarks.small.clusters import shard
from benchmarks.small.datasets import load_split
from benchmarks.small.judge import new_words_expected
from benchmarks.small.parts import Part, task_of
from benchmarks.small.pool import processes
from benchmarks.small.settings import SmallSettings, read_settings
from benchmarks.small.train import prepare
from paris.experts.data.cluster import ClusterData
from paris.experts.errors import ExpertError
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.training.batches import Batches
from paris.experts.training.block_codes import BLOCK
from paris.experts.training.compact_state import compact
from paris.experts.training.config import TrainingTask
from paris.experts.training.evaluate import heldout_losses
from paris.experts.training.machine import make_deterministic
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep

_CLUSTERING, _BATCH, _HELDOUT = "all-1", 32, 300
_DOC = Path(__file__).resolve().parents[1] / "docs" / "organisers" / "legs.md"
_BEGIN = "<!-- leg states: python -m benchmarks.leg_state -->\n"
_END = "<!-- end of leg states -->\n"
_Files = Mapping[str, Mapping[str, Tensor]]


def _rounded(*files: str) -> Callable[[TrainState], None]:
    """Rounds some files of a state as the compact form does, and leaves the others."""

    def apply(state: TrainState) -> None:
        coded: _Files = compact(state.tensors())
        state.restore(state.step, lambda file: coded[file].items() if file in files else ())

    return apply


@torch.no_grad()
def _average_in_bfloat16(state: TrainState) -> None:
    """Keeps of the EMA its difference from the weights, in bfloat16."""
    for name, average in state.ema.average.items():
        weights = state.parameters[name]
        average.copy_(weights + (average - weights).bfloat16().float())


@torch.no_grad()
def _weights_in_bfloat16(state: TrainState) -> None:
    """Weights in bfloat16, rounded up or down by chance, with the right mean."""
    generator = torch.Generator().manual_seed(state.step)
    for weights in state.parameters.values():
        chance = torch.randint(0, 1 << 16, weights.shape, generator=generator, dtype=torch.int32)
        weights.copy_(((weights.view(torch.int32) + chance) & ~0xFFFF).view(torch.float32))


@torch.no_grad()
def _moments_and_average(state: TrainState) -> None:
    _rounded("optimizer")(state)
    _average_in_bfloat16(state)


class Form(NamedTuple):
    """A form of the state."""

    what: str
    parameter_bytes: float
    rounding: Callable[[TrainState], object] | None = None
    """Makes a state what its files hold."""
    often: int = 1
    """Roundings in place of one."""


_CODED = 1 + 1 / BLOCK
_CONTROL = "rounding"
FORMS = {
    "exact": Form("exact", 16),
    _CONTROL: Form("exact, in half micro-batches, which rounds otherwise", 16),
    "moments": Form("moments in 8 bits", 8 + 2 * _CODED, _rounded("optimizer")),
    "difference": Form("weights minus EMA in 8 bits", 12 + _CODED, _rounded("weights")),
    "average": Form("EMA minus weights in bfloat16", 14, _average_in_bfloat16),
    "moments and average": Form(
        "moments in 8 bits, EMA minus weights in bfloat16", 6 + 2 * _CODED, _moments_and_average
    ),
    "compact": Form(
        '`state = "compact"`: moments, weights minus EMA in 8 bits', 4 + 3 * _CODED, TrainState.make_compact
    ),
    "compact, often": Form(
        '`state = "compact"`, ten times as often, as in five legs of 20 stretches',
        4 + 3 * _CODED,
        TrainState.make_compact,
        often=10,
    ),
    "bfloat16": Form("weights in bfloat16, rounded by chance", 14, _weights_in_bfloat16),
}


def losses_of(folder: Path, every: int, forms: tuple[str, ...]) -> dict[str, float]:
    """Train in each form with one seed; the mean losses on held-out rows. Takes the process for itself.

    Args:
        folder: A prepared folder.
        every: Steps between two roundings.
        forms: Names of `FORMS`.
    """
    make_deterministic(torch.device("cpu"), 1)
    settings = read_settings(folder)
    part = Part(clustering=_CLUSTERING, batch_size=_BATCH, steps=settings.steps)
    task = task_of(folder, settings, part, None)
    return {form: _heldout_loss(folder, settings, _trained(folder, task, form, every)) for form in forms}


def _trained(folder: Path, task: TrainingTask, form: str, every: int) -> DiTExpert:
    model, rounding = initial_expert(task.model, task.seed), FORMS[form].rounding
    between = every // FORMS[form].often
    state = TrainState(model, task.training)
    step = TrainStep(state, MicroBatch(_BATCH // 2 if form == _CONTROL else _BATCH))
    codec, text = load_codec(task.codec, folder / "data"), load_text_encoder(task.text, folder / "data")
    batches = Batches(task, ClusterData([shard(folder, _CLUSTERING, 0)]), codec, text)
    while state.step < task.steps:
        step(batches.batch(state.step))
        if rounding is not None and state.step % between == 0 and state.step < task.steps:
            rounding(state)
    model.load_state_dict(state.ema.average)
    return model.eval().requires_grad_(False)


def _heldout_loss(folder: Path, settings: SmallSettings, model: DiTExpert) -> float:
    _, heldout = load_split(settings.dataset)
    rows = heldout.take(np.arange(0, len(heldout), len(heldout) // _HELDOUT))
    pixels = np.ascontiguousarray(rows.pixels[..., : settings.channels].transpose(0, 3, 1, 2))
    with new_words_expected():
        text = load_text_encoder(settings.text, folder / "data").encode(rows.captions)
    return (
        heldout_losses(model, load_codec(CodecConfig(), folder / "data").to_model(pixels), text, seed=0).mean().item()
    )


def rows_of(losses: Mapping[int, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row a form: its loss by seed, and by how much it differs from the exact form's, as mean and spread over seeds.

    Args:
        losses: By seed and form.
    """
    rows = []
    for form in next(iter(losses.values())):
        changes = [100 * (found[form] / found["exact"] - 1) for found in losses.values()]
        rows.append(
            {
                "form": form,
                "what": FORMS[form].what,
                "parameter_bytes": round(FORMS[form].parameter_bytes, 2),
                "heldout_loss": [round(found[form], 5) for found in losses.values()],
                "change_percent": round(statistics.fmean(changes), 2),
                "spread_percent": round(statistics.stdev(changes), 2) if len(changes) > 1 else None,
            }
        )
    return rows


def with_kept(rows: list[dict[str, Any]], file: Path, made_by: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows, and those of the other forms that were measured before in the same way, with when and where.

    Args:
        rows: Measured now.
        file: Results of before, if there are any.
        made_by: What they must have been measured with, by the names in the file.
    """
    before = json.loads(file.read_text()) if file.is_file() else {}
    is_alike = all(before.get(name) == value for name, value in made_by.items())
    kept = before["rows"] if is_alike else []
    by_form = {row["form"]: {"on": before["date"], "by": before["machine"]["processor"], **row} for row in kept}
    by_form |= {row["form"]: row for row in rows}
    return [by_form[form] for form in FORMS if form in by_form]


def table(rows: list[dict[str, Any]]) -> str:
    """For docs/organisers/legs.md."""
    lines = ["| form of the state | bytes a parameter | held-out loss |", "| --- | --- | --- |"]
    for row in rows:
        change = f"{row['change_percent']:+.2f} % (spread {row['spread_percent']:.2f})"
        loss = _mean_and_spread(row["heldout_loss"]) if row["form"] == "exact" else change
        lines.append(f"| {row['what']} | {row['parameter_bytes']:.2f} | {loss} |")
    return "\n".join([*lines, ""])


def _mean_and_spread(losses: list[float]) -> str:
    mean = statistics.fmean(losses)
    return f"{mean:.4f} (spread between seeds {100 * statistics.stdev(losses) / mean:.2f} %)"


def main() -> int:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, made where it is missing")
    parser.add_argument("--steps", type=int, default=500, help="optimizer steps of each training")
    parser.add_argument("--every", type=int, default=50, help="steps between two roundings")
    parser.add_argument("--seeds", type=int, default=4, help="two or more")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, each of one thread")
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS), help="other rows are kept")
    parser.add_argument("--out", type=Path, help="instead of benchmarks/results/leg_state.json; leaves the table alone")
    given = parser.parse_args()
    forms = tuple(dict.fromkeys(("exact", *given.forms)))
    settings = SmallSettings(steps=given.steps, channels=1, hidden_size=48, num_layers=2, classifier_epochs=1)
    seeds = tuple(range(given.seeds))
    try:
        with processes(given.jobs) as pool:
            running = {}
            for seed in seeds:
                folder = given.work / f"seed-{seed}"
                prepare(folder, settings.model_copy(update={"seed": seed}), [_CLUSTERING])
                running[seed] = pool.submit(losses_of, folder, given.every, forms)
            rows = rows_of({seed: future.result() for seed, future in running.items()})
    except ExpertError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    extra = {"settings": settings.to_settings(), "every": given.every}
    rows = with_kept(rows, given.out or RESULTS / "leg_state.json", {**extra, "seeds": list(seeds)})
    print(write_result("leg_state", rows, seeds=seeds, out=given.out, **extra))
    print(table(rows))
    if given.out is None:
        replace_between(_DOC, _BEGIN, table(rows), _END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
