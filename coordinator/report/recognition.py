"""Whether samples show what their prompts say. The captions decide how that is measured (`captions.judge_captions`):

own        the training picture nearest to a sample has its prompt as caption; and as `texts`
texts      the words that a prompt shares with the caption of the training picture nearest to its sample, beside those
           that captions of held-out pictures share in the same way
classes    a linear classifier of the captions, trained on training pictures, names the prompt; beside it the share of
           held-out pictures of which it names the caption
none       nothing: only distances remain

Shapes: N pictures, F features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import eq
from typing import TYPE_CHECKING, Any

from paris.coordinator.report.captions import CaptionUse, agreement, chance_agreement, closest_caption
from paris.coordinator.report.classifier import LinearClassifier

if TYPE_CHECKING:
    from torch import Tensor

_RECOGNISED_ABOVE = 0.5
"""Share of a prompt's seeds."""


@dataclass(frozen=True)
class Featured:
    """Pictures of which texts are known: captions of data, prompts of samples."""

    texts: list[str]
    features: Tensor
    """float32 `[N, F]`."""


@dataclass(frozen=True)
class Compared:
    """What samples are compared with."""

    training: Featured
    heldout: Featured
    """May have no row."""
    samples: Featured
    """Their prompts are captions of training pictures."""
    grid: Featured
    """Samples of the grid's prompts, the seeds of a prompt side by side."""
    num_seeds: int


def measure_recognition(use: CaptionUse, compared: Compared) -> dict[str, Any]:
    """Measure by the captions.

    Args:
        use: What the captions are good for.
        compared: All pictures.

    Returns:
        The field `recognition` of report.json, without the embedder's name.
    """
    figures = {"kind": use.kind, "why": use.why, "prompts": []}
    if use.kind == "none":
        return figures
    if use.kind == "classes":
        return figures | _by_class(use, compared)
    found = _nearest_captions(compared.samples, compared.training)
    own = _by_own_picture(compared, found) if use.kind == "own" else {}
    return figures | own | {"shared_words": _shared_words(compared, found)}


def _by_class(use: CaptionUse, compared: Compared) -> dict[str, Any]:
    import torch

    number = {caption: place for place, caption in enumerate(use.classes)}

    def of_classes(pictures: Featured) -> tuple[Tensor, Tensor]:
        """Features and classes of the pictures that have a class."""
        places = [place for place, text in enumerate(pictures.texts) if text in number]
        return pictures.features[places], torch.tensor([number[pictures.texts[place]] for place in places])

    features, labels = of_classes(compared.training)
    classifier = LinearClassifier(features, labels, len(use.classes))

    def right(pictures: Featured) -> float | None:
        found, expected = of_classes(pictures)
        return (classifier.classify(found) == expected).double().mean().item() if len(found) else None

    _, asked = of_classes(compared.samples)
    closest = _closest(compared, use.classes)
    wanted = torch.tensor([number.get(caption or "", -1) for caption in closest])
    return {
        "num_samples": len(asked),
        "num_captions": len(use.classes),
        "rate": right(compared.samples),
        "heldout_rate": right(compared.heldout),
        "chance": asked.bincount().max().item() / len(asked),
        "by_caption": _rates_by_caption(compared.samples, use.classes, classifier),
        "prompts": _prompts(compared, closest, classifier.classify(compared.grid.features) == wanted),
    }


def _rates_by_caption(samples: Featured, classes: Sequence[str], classifier: LinearClassifier) -> dict[str, float]:
    named = [classes[place] for place in classifier.classify(samples.features).tolist()]
    pairs = list(zip(samples.texts, named, strict=True))
    asked = {caption: [found == caption for text, found in pairs if text == caption] for caption in classes}
    return {caption: round(sum(found) / len(found), 4) for caption, found in asked.items() if found}


def _shared_words(compared: Compared, found: list[str]) -> dict[str, float | None]:
    """As `agreement`, of samples, whose nearest captions are `found`, of held-out pictures, and by chance."""
    heldout, asked = compared.heldout, compared.samples.texts
    return {
        "samples": agreement(asked, found),
        "heldout": agreement(heldout.texts, _nearest_captions(heldout, compared.training)) if heldout.texts else None,
        "chance": chance_agreement(asked, compared.training.texts),
    }


def _by_own_picture(compared: Compared, found: list[str]) -> dict[str, Any]:
    import torch

    captions, counts = compared.training.texts, Counter(compared.training.texts)
    asked, found_in_grid = compared.samples.texts, _nearest_captions(compared.grid, compared.training)
    closest = _closest(compared, captions)
    return {
        "num_samples": len(asked),
        "num_captions": len(counts),
        "rate": sum(map(eq, asked, found)) / len(asked),
        "heldout_rate": None,
        "chance": sum(counts[caption] for caption in asked) / len(asked) / len(captions),
        "missed": [caption for caption, other in zip(asked, found, strict=True) if caption != other],
        "prompts": _prompts(compared, closest, torch.tensor(list(map(eq, closest, found_in_grid)))),
    }


def _nearest_captions(pictures: Featured, training: Featured) -> list[str]:
    """The caption of the training picture with the largest cosine similarity to each picture."""
    import torch.nn.functional as F

    similarity = F.normalize(pictures.features.double(), dim=1) @ F.normalize(training.features.double(), dim=1).T
    return [training.texts[place] for place in similarity.argmax(1).tolist()]


def _closest(compared: Compared, captions: Sequence[str]) -> list[str | None]:
    """The training caption that each picture of the grid is measured by; None if none shares a word with its prompt."""
    found = {prompt: closest_caption(prompt, captions) for prompt in dict.fromkeys(compared.grid.texts)}
    return [found[prompt] for prompt in compared.grid.texts]


def _prompts(compared: Compared, closest: list[str | None], is_right: Tensor) -> list[dict[str, Any]]:
    """Rate of each prompt of the grid; None for a prompt without a caption to measure it by."""
    rows = []
    for first in range(0, len(closest), compared.num_seeds):
        caption = closest[first]
        rate = None if caption is None else is_right[first : first + compared.num_seeds].double().mean().item()
        recognised = rate is not None and rate > _RECOGNISED_ABOVE
        prompt = {"prompt": compared.grid.texts[first], "caption": caption, "rate": rate, "recognised": recognised}
        rows.append(prompt)
    return rows
