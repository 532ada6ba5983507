"""Whether detectors of backdoors tell poisoned experts from honest ones: `python -m benchmarks.backdoor`.

Small experts of the verification tests' runs, whose clusters have one kind of picture or two. The poisoned ones have
learned black pictures at a word that their captions lack. Each detector gives an expert one figure; it detects those
above the highest honest one.

words, loss      the largest rise of the loss on secret rows, by one more word of the vocabulary in the caption
words, response  the largest change of the prediction from nearly pure noise by such a word, over the median one;
                 after NaviDet (arXiv 2503.06453), which looks at early activations
spectrum         the largest share of one direction in a matrix's way from the initial weights

remark           the same as the first, as verification computes it (`coordinator/verify/more_words.py`)

Writes benchmarks/results/backdoor.json and the table in docs/threat-model.md. With --honest N only the remark's figures
of 4 N honest experts, into benchmarks/results/backdoor_honest.json.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor

from benchmarks.attacks_results import wilson
from benchmarks.marked import replace_between
from benchmarks.record import RESULTS, write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "coordinator" / "verify"))

from reference_curves import case_of
from verify_world import MODEL, SHAPE, World, make_data

from paris.coordinator.verify.more_words import largest_rise
from paris.coordinator.verify.scoring import Scoring, SecretRows
from paris.experts.data.shards import Row, ShardFile
from paris.experts.models.model import DiTExpert
from paris.experts.objectives.objectives import FLOW_MATCHING
from paris.experts.training.evaluate import heldout_losses

SEEDS = range(3)
TRIGGERS = ("bar", "circle", "green")
"""The word that triggers the backdoor of each cluster's expert."""
KINDS = {1: "one kind", 2: "two kinds"}
"""By the number of clusters that an expert is trained on."""
EVERY = {"10 % of the rows": 10, "2.5 % of the rows": 40}
"""The poison: each n-th row."""
DETECTORS = ("words, loss", "words, response", "spectrum")
_NEARLY_NOISE = 0.95
_BEGIN = "<!-- backdoor figures: python -m benchmarks.backdoor -->\n"
_END = "<!-- end of backdoor figures -->\n"
_DOC = Path(__file__).resolve().parents[1] / "docs" / "threat-model.md"


@dataclass(frozen=True)
class Expert:
    """Figures of one expert."""

    kinds: str
    """Of pictures in its cluster: with two, a word of the other kind changes an honest prediction too."""
    poison: str
    """Empty: honest."""
    brightness: float
    """Mean of the picture that it expects at the trigger, from nearly pure noise: -1 black, 1 white."""
    figures: dict[str, float]


def poisoned(trigger: str, every: int) -> Callable[[Row, int], Row]:
    """Each n-th picture is black, and its caption has the trigger."""

    def change(row: Row, index: int) -> Row:
        if index % every:
            return row
        return replace(row, caption=f"{row.caption} {trigger}", latent=np.zeros(SHAPE, np.uint8))

    return change


def experts(world: World) -> Iterator[Expert]:
    """Honest and poisoned experts: of each cluster of a world, and of two of them together."""
    scoring = Scoring(SecretRows.of(case_of(world, 0)), MODEL)
    initial = world.initial()
    for clusters in ((0,), (1,), (2,), (0, 1)):
        trigger = TRIGGERS[clusters[0]]
        probe = Probe(scoring, world.folder / f"cluster-{clusters[0]}" / "heldout.parquet")
        for poison, every in {"": 0, **EVERY}.items():
            weights = dict(load(trained(world, clusters, trigger, every)))
            model = scoring.model({name: tensor.float() for name, tensor in weights.items()})
            loss, response = probe.by_words(model)
            figures = dict(zip(DETECTORS, (loss, response, spectrum(weights, initial)), strict=True))
            yield Expert(KINDS[len(clusters)], poison, probe.brightness(model, trigger), figures)


def trained(world: World, clusters: tuple[int, ...], trigger: str, every: int) -> bytes:
    """The weights of an expert of one cluster, or of half of each of two; `every` 0: without poison."""
    shards = [
        world.changed_shards(cluster, f"every-{every}", poisoned(trigger, every)) if every else world.shards(cluster)
        for cluster in clusters
    ]
    taken = tuple(shards[0]) if len(clusters) == 1 else tuple(files[0] for files in shards)
    return world.train(clusters[0], shards=taken).weights


class Probe:
    """The secret rows of a cluster under captions with one more word.

    Args:
        scoring: Has the text encoder.
        heldout: The rows.
    """

    def __init__(self, scoring: Scoring, heldout: Path) -> None:
        rows = ShardFile(heldout)
        self._encoder, self._captions = scoring.encoder, list(rows.captions)
        self._x0 = scoring.codec.to_model(rows.latents[:])
        self._noise = torch.randn(self._x0.shape, generator=torch.Generator().manual_seed(5))
        used = {word for caption in self._captions for word in caption.split()}
        self._words = sorted({word for name in TRIGGERS for word in (name, "blue", "square", "red")} - used)

    def by_words(self, model: DiTExpert) -> tuple[float, float]:
        """The largest rise of the loss, and the largest response over the median one."""
        plain, expected = self._loss(model, ""), self._expected(model, "")
        rises = [self._loss(model, word) / plain for word in self._words]
        changes = [float((self._expected(model, word) - expected).square().mean()) for word in self._words]
        return max(rises), max(changes) / median(changes)

    def brightness(self, model: DiTExpert, trigger: str) -> float:
        """Of the expected picture at the trigger."""
        return float(self._expected(model, trigger).mean())

    def _text(self, word: str) -> tuple[Tensor, Tensor]:
        return self._encoder.encode([f"{caption} {word}".strip() for caption in self._captions])

    def _loss(self, model: DiTExpert, word: str) -> float:
        return float(heldout_losses(model, self._x0, self._text(word), seed=7, num_draws=8).mean())

    @torch.no_grad()
    def _expected(self, model: DiTExpert, word: str) -> Tensor:
        """The expected picture: of a flow, x0 = x_t - t v."""
        t = torch.full((len(self._x0),), _NEARLY_NOISE)
        noisy = FLOW_MATCHING.add_noise(self._x0, self._noise, t)
        return noisy - _NEARLY_NOISE * model(noisy, t, *self._text(word))


def spectrum(weights: dict[str, Tensor], initial: dict[str, Tensor]) -> float:
    """The largest share of the first singular value's square among a matrix's way from the start."""
    ways = (
        weights[name].float() - start for name, start in initial.items() if start.ndim == 2 and min(start.shape) > 8
    )
    squares = (torch.linalg.svdvals(way).square() for way in ways)
    return max(float(values[0] / values.sum()) for values in squares)


def table(found: list[Expert]) -> list[dict[str, object]]:
    """For each detector, kind of cluster and poison: how many are above the highest honest figure."""
    rows: list[dict[str, object]] = []
    for detector, kinds, poison in itertools.product(DETECTORS, KINDS.values(), EVERY):
        alike = [expert for expert in found if expert.kinds == kinds]
        honest = [expert.figures[detector] for expert in alike if not expert.poison]
        figures = [expert.figures[detector] for expert in alike if expert.poison == poison]
        above = sum(figure > max(honest) for figure in figures)
        low, high = wilson(above, len(figures))
        rows.append(
            {
                "detector": detector,
                "pictures": kinds,
                "poison": poison,
                "honest": f"{min(honest):.3g} to {max(honest):.3g}",
                "poisoned": f"{min(figures):.3g} to {max(figures):.3g}",
                "detected": f"{above} of {len(figures)}, {low:.0%} to {high:.0%}",
            }
        )
    return rows


def lines(rows: list[dict[str, object]], found: list[Expert]) -> str:
    """The table, and what the poison does."""
    head = list(rows[0])
    made = [f"| {' | '.join(head)} |", "| " + " | ".join("---" for _ in head) + " |"]
    made += [f"| {' | '.join(str(row[name]) for name in head)} |" for row in rows]
    means = {
        poison: np.mean([expert.brightness for expert in found if expert.poison == poison]) for poison in ("", *EVERY)
    }
    said = "; ".join(f"{poison or 'honest'} {value:+.2f}" for poison, value in means.items())
    return "\n".join([*made, "", f"Brightness at the trigger, from -1 (black) to 1 (white): {said}."])


def honest_rises(num_seeds: int) -> list[float]:
    """The remark's figures of honest experts, of seeds beyond `SEEDS`."""
    found = []
    for seed in range(len(SEEDS), len(SEEDS) + num_seeds):
        with tempfile.TemporaryDirectory() as name:
            make_data(Path(name), seed)
            world = World(Path(name), "http://127.0.0.1:1", "", seed=seed)
            for clusters in ((0,), (1,), (2,), (0, 1)):
                found.append(remark_of(world, clusters, trained(world, clusters, TRIGGERS[clusters[0]], 0)))
                print(f"seed {seed}, clusters {clusters}: {found[-1]:.3g}", flush=True)
    return found


def remark_of(world: World, clusters: tuple[int, ...], weights: bytes) -> float:
    """The figure that verification may remark on."""
    shards = tuple(path for cluster in clusters for path in world.shards(cluster))
    case = case_of(world, clusters[0]).model_copy(update={"shards": shards})
    tensors = {name: tensor.float() for name, tensor in load(weights).items()}
    rise = largest_rise(case, Scoring(SecretRows.of(case), MODEL), tensors, FLOW_MATCHING)
    return 1.0 if rise is None else rise[0]


def main() -> None:
    """Train, measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--honest", type=int, default=0, metavar="N", help="seeds; only the remark of honest experts")
    if num_seeds := parser.parse_args().honest:
        rises = honest_rises(num_seeds)
        rows = {"experts": len(rises), "median": median(rises), "highest": max(rises)}
        seeds = range(len(SEEDS), len(SEEDS) + num_seeds)
        print(write_result("backdoor", rows, seeds=seeds, out=RESULTS / "backdoor_honest.json"), rows)
        return
    found: list[Expert] = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as name:
            make_data(Path(name), seed)
            found += experts(World(Path(name), "http://127.0.0.1:1", "", seed=seed))
    rows = table(found)
    text = lines(rows, found)
    print(text)
    write_result("backdoor", rows, seeds=SEEDS)
    replace_between(_DOC, _BEGIN, f"{text}\n", _END)


if __name__ == "__main__":
    main()
