"""The part of the report that needs the released model: samples, and how they compare with the data.

Beside the grid, at most `num_samples` samples are drawn. As many held-out pictures are the yardstick, and four times as
many training pictures teach the classifier. The nearest training picture is looked for among all rows
(`rows.MAX_ROWS`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paris.coordinator.report.captions import CaptionUse, choose_prompts, closest_caption, judge_captions
from paris.coordinator.report.distances import kernel_distance, precision_recall
from paris.coordinator.report.losses import measure_losses
from paris.coordinator.report.model_tables import RIGHT_SEEDS
from paris.coordinator.report.nearest import Nearest, find_nearest
from paris.coordinator.report.plots import plot_nearest, plot_samples
from paris.coordinator.report.recognition import Compared, Featured, measure_recognition
from paris.coordinator.report.rows import HeldoutRows, TrainingRows, some_places
from paris.coordinator.report.samples import (
    Pictures,
    SampleGrid,
    as_model_inputs,
    decoded,
    draw_grid,
    draw_pictures,
    features_of,
)
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import prepared_record
from paris.experts.frozen.features import load_embedder
from paris.experts.release.model import load_model

if TYPE_CHECKING:
    from paris.experts.release.model import ParisModel

_TRAINING_PER_SAMPLE = 4
_SEEDS_OF_ONE_PROMPT = 12
_MIN_FOR_DISTANCES = 16
"""Held-out pictures below which a distance between sets says nothing."""


def measure_model(run: RunDir, out: Path, num_samples: int) -> dict[str, Any]:
    """Draw samples, write samples.png and nearest.png, and compare the samples with the data.

    Args:
        run: A run with a release.
        out: The report's folder.
        num_samples: Most samples, beside those of the grid.

    Returns:
        The fields `recognition`, `distances`, `nearest` and `losses` of report.json.

    Raises:
        ExpertError: The release or the embedder cannot be loaded.
    """
    model, rows, heldout = load_model(run.release), TrainingRows(run), HeldoutRows(run, num_samples)
    captions = rows.captions if run.config.reads_text else [""] * len(rows)
    use, seed = judge_captions(captions), run.config.run.seed
    prompts, seeds = _prompts_and_seeds(run, captions, rows.clusters.tolist())
    places = _training_places(captions, prompts, num_samples * (1 if use.kind == "own" else _TRAINING_PER_SAMPLE), seed)
    pictures = decoded(model, rows.stored(places))
    texts = [captions[place] for place in places]
    asked = [texts[place] for place in some_places(len(texts), num_samples, seed + 1)]
    samples = draw_pictures(model, asked, list(range(len(asked))))
    grid = draw_grid(model, prompts, seeds)
    compared = _compared(run, model, (texts, pictures), heldout, (asked, samples), grid)
    figures = {
        "recognition": _recognition(run, use, compared),
        "distances": _distances(compared),
        "nearest": _nearest_figures(model, rows, heldout, samples),
        "losses": {str(k): losses._asdict() for k, losses in measure_losses(model, rows, heldout, seed).items()},
    }
    nearest = _nearest_pictures(model, rows, grid)
    plot_nearest(out / "nearest.png", grid, nearest, _measure_of(model))
    _plot_samples(out, figures["recognition"], grid, (texts, pictures))
    return figures


def _prompts_and_seeds(run: RunDir, captions: list[str], clusters: list[int]) -> tuple[list[str], list[int]]:
    """Those of [sampling]; without prompts there, captions of the clusters, and more seeds if there is only one."""
    table = run.config.sampling
    if table.prompts and run.config.reads_text:
        return table.prompts, table.seeds
    prompts = choose_prompts(captions, clusters)
    return prompts, table.seeds if len(prompts) > 1 else list(range(_SEEDS_OF_ONE_PROMPT))


def _training_places(captions: list[str], prompts: list[str], most: int, seed: int) -> NDArray[np.int64]:
    """Places of training rows at random, and of those whose captions the prompts are measured by."""
    closest = [closest_caption(prompt, captions) for prompt in prompts]
    wanted = [captions.index(caption) for caption in closest if caption is not None]
    return np.union1d(some_places(len(captions), most, seed), np.array(wanted, np.int64))


def _compared(
    run: RunDir,
    model: ParisModel,
    training: tuple[list[str], Pictures],
    heldout: HeldoutRows,
    samples: tuple[list[str], Pictures],
    grid: SampleGrid,
) -> Compared:
    embedder = load_embedder(prepared_record(run)["config"]["embedder"], str(model.device))
    secret = None if heldout.stored is None else features_of(embedder, decoded(model, heldout.stored))
    train_features = features_of(embedder, training[1])
    return Compared(
        training=Featured(training[0], train_features),
        heldout=Featured(heldout.captions, train_features[:0] if secret is None else secret),
        samples=Featured(samples[0], features_of(embedder, samples[1])),
        grid=Featured([prompt for prompt in grid.prompts for _ in grid.seeds], features_of(embedder, grid.flat)),
        num_seeds=len(grid.seeds),
    )


def _recognition(run: RunDir, use: CaptionUse, compared: Compared) -> dict[str, Any]:
    return {"embedder": prepared_record(run)["config"]["embedder"], **measure_recognition(use, compared)}


def _distances(compared: Compared) -> dict[str, Any]:
    """Samples against held-out pictures, beside as many training pictures against them; empty with too few of them."""
    heldout = compared.heldout.features.numpy()
    count = min(len(compared.samples.features), len(compared.training.features), len(heldout))
    if count < _MIN_FOR_DISTANCES:
        return {}
    samples, training, secret = (
        features[some_places(len(features), count, 0)]
        for features in (compared.samples.features.numpy(), compared.training.features.numpy(), heldout)
    )
    of_samples, of_data = precision_recall(secret, samples), precision_recall(secret, training)
    return {
        "num_rows": count,
        "kernel": kernel_distance(samples, secret),
        "kernel_of_data": kernel_distance(training, secret),
        "precision": of_samples.precision,
        "precision_of_data": of_data.precision,
        "recall": of_samples.recall,
        "recall_of_data": of_data.recall,
    }


def _find(model: ParisModel, rows: TrainingRows, pictures: NDArray[Any]) -> Nearest:
    return find_nearest(pictures, rows.blocks(), lambda stored: model.codec.to_model(np.array(stored)).cpu().numpy())


def _measure_of(model: ParisModel) -> str:
    """What `find_nearest` compares."""
    return "latents" if model.codec.config.kind == "vae" else "pixels"


def _nearest_figures(model: ParisModel, rows: TrainingRows, heldout: HeldoutRows, samples: Pictures) -> dict[str, Any]:
    found = _find(model, rows, as_model_inputs(model, samples))
    figures: dict[str, Any] = {
        "num_rows": len(rows),
        "num_all_rows": rows.num_all,
        "num_samples": len(samples),
        "measure": _measure_of(model),
        "copies": float(found.is_copy.mean()),
        "distance": float(np.median(found.distance)),
    }
    if heldout.stored is not None:
        secret = _find(model, rows, model.codec.to_model(np.array(heldout.stored)).cpu().numpy())
        figures |= {"copies_of_heldout": float(secret.is_copy.mean())}
        figures |= {"distance_of_heldout": float(np.median(secret.distance))}
    return figures


def _nearest_pictures(model: ParisModel, rows: TrainingRows, grid: SampleGrid) -> Pictures:
    """The training picture nearest to each sample of the grid: uint8 `[P, S, H, W, 3]`."""
    found = _find(model, rows, as_model_inputs(model, grid.flat))
    return decoded(model, rows.stored(found.places)).reshape(grid.samples.shape)


def _plot_samples(
    out: Path, recognition: dict[str, Any], grid: SampleGrid, training: tuple[list[str], Pictures]
) -> None:
    rates = {row["prompt"]: row["rate"] for row in recognition["prompts"]}
    marks = [grid_mark(recognition["kind"], rates.get(prompt)) for prompt in grid.prompts]
    captions, pictures = training
    own = [closest_caption(prompt, captions) for prompt in grid.prompts]
    originals = [pictures[captions.index(caption)] if caption in captions else None for caption in own]
    plot_samples(out / "samples.png", grid, originals=originals, marks=marks)


def grid_mark(kind: str, rate: float | None) -> str:
    """Share of a prompt's seeds that are right, by the measure of the captions; empty if it has none."""
    return "" if rate is None else f"{rate:.0%} {RIGHT_SEEDS[kind]}"
