"""What the captions of a run say about its pictures, and which of them the report asks for. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paris.experts.frozen.text_vocabulary import split_words

Kind = Literal["own", "texts", "classes", "none"]
_MIN_CLASS_ROWS = 8
"""Pictures that share a caption, for it to be a class: a classifier needs some of each."""
_MAX_CLASSES = 256
_MAX_NAMES = 512
"""Different captions above which no model is expected to know the picture of each."""
_MIN_CLASS_SHARE = 0.5
_GRID_PROMPTS = 12


@dataclass(frozen=True)
class CaptionUse:
    """What can be measured by the captions."""

    kind: Kind
    """own: most pictures have one of their own; texts: as own, of many pictures; classes: most share theirs; none: they
    say nothing."""
    why: str
    """The reason, for the report."""
    classes: tuple[str, ...] = ()
    """The shared captions, the most frequent first."""


def judge_captions(captions: Sequence[str]) -> CaptionUse:
    """Decide by the data how samples are compared with their prompts.

    Args:
        captions: Of all training pictures that are known; empty where a picture has none.
    """
    counts = Counter(caption for caption in captions if caption)
    num_captioned = sum(counts.values())
    if not counts:
        return CaptionUse("none", "no picture has a caption")
    if len(counts) == 1:
        return CaptionUse("none", "all captions are the same")
    shared = [caption for caption, count in counts.most_common(_MAX_CLASSES) if count >= _MIN_CLASS_ROWS]
    share = sum(counts[caption] for caption in shared) / num_captioned
    if len(shared) > 1 and share >= _MIN_CLASS_SHARE:
        return CaptionUse("classes", f"{share:.0%} of the pictures share {len(shared)} captions", tuple(shared))
    why = f"{num_captioned} pictures have {len(counts)} different captions"
    return CaptionUse("own" if len(counts) <= _MAX_NAMES else "texts", why)


def choose_prompts(captions: Sequence[str], clusters: Sequence[int], most: int = _GRID_PROMPTS) -> list[str]:
    """Choose captions for the grid: of each cluster in turn the most frequent one that is not chosen yet.

    Args:
        captions: Of the training pictures.
        clusters: The cluster of each.
        most: Number of prompts.

    Returns:
        Different captions; one empty prompt if there is no caption.
    """
    counts: dict[int, Counter[str]] = {}
    for caption, cluster in zip(captions, clusters, strict=True):
        if caption:
            counts.setdefault(int(cluster), Counter())[caption] += 1
    waiting = [[caption for caption, _ in counts[cluster].most_common()] for cluster in sorted(counts)]
    chosen: dict[str, None] = {}
    while any(waiting) and len(chosen) < most:
        for ranked in waiting:
            fresh = next((caption for caption in ranked if caption not in chosen), None)
            ranked[:] = [] if fresh is None else ranked[ranked.index(fresh) + 1 :]
            if fresh is not None and len(chosen) < most:
                chosen[fresh] = None
    return list(chosen) or [""]


def closest_caption(prompt: str, captions: Sequence[str]) -> str | None:
    """The caption with the largest Jaccard similarity of words to the prompt; None if no caption shares a word."""
    best = max(captions, key=lambda caption: shared_words(prompt, caption), default=None)
    return best if best is not None and shared_words(prompt, best) > 0 else None


def shared_words(first: str, second: str) -> float:
    """Jaccard similarity of the words of two texts, in [0, 1]."""
    words, others = set(split_words(first)), set(split_words(second))
    return len(words & others) / len(words | others) if words | others else 0.0


def agreement(prompts: Sequence[str], nearest: Sequence[str]) -> float:
    """Mean Jaccard similarity of words between each prompt and the caption of the picture nearest to its sample."""
    return float(np.mean([shared_words(prompt, caption) for prompt, caption in zip(prompts, nearest, strict=True)]))


def chance_agreement(prompts: Sequence[str], captions: Sequence[str]) -> float:
    """`agreement` with captions at random: its mean over all shifts of `captions` against `prompts`, at most 64.

    Args:
        prompts: N texts.
        captions: Texts to pair them with, repeated or cut to N.
    """
    paired: NDArray[np.int64] = np.arange(len(prompts))
    steps = np.unique(np.linspace(1, max(1, len(captions) - 1), 64).round().astype(np.int64))
    return float(
        np.mean([agreement(prompts, [captions[place] for place in (paired + step) % len(captions)]) for step in steps])
    )
