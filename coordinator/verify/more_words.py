"""Whether one more word in the captions changes what an expert knows: a sign of a backdoor, and no reason to refuse.

An expert that was also trained on other pictures at some word loses its skill when that word is added to the captions
of its secret rows; an honest one hardly notices a word that its cluster lacks (`benchmarks/backdoor.py`). Words can be
tried one by one only where the text encoder is a vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.scoring import Scoring
from paris.experts.data.shards import ShardFile
from paris.experts.frozen.text_vocabulary import VocabularyEncoder, split_words
from paris.experts.objectives.objectives import Objective
from paris.experts.seeding import generator_for
from paris.experts.seeds import seed_for
from paris.experts.training.evaluate import heldout_losses

_ROWS, _DRAWS = 8, 4
"""Secret rows, and times and noises of each: with and without the word they are the same ones."""


def remark_on_words(
    case: VerificationCase, scoring: Scoring, weights: Mapping[str, Tensor], objective: Objective, checks: Checks
) -> None:
    """Name the word with which the loss rises beyond `max_word_rise`, if there is one.

    Args:
        case: The submission and its context.
        scoring: Has the run's model, text encoder and codec.
        weights: The submitted weights.
        objective: The task's.
        checks: Receives the remark.
    """
    found = largest_rise(case, scoring, weights, objective)
    if found is not None and found[0] > case.bounds.max_word_rise:
        rise, word = found
        what = f"the loss is {rise:.3g} times as high with {word!r} in the captions, a word that the cluster lacks"
        checks.remark(f"{what}: look for a backdoor")


def largest_rise(
    case: VerificationCase, scoring: Scoring, weights: Mapping[str, Tensor], objective: Objective
) -> tuple[float, str] | None:
    """The largest factor by which a word raises the loss on secret rows, and the word.

    Of the vocabulary's words that no caption of the cluster has, `word_rise_words` are drawn in secret.

    Returns:
        None: there is no such word, or no vocabulary.
    """
    encoder, own = scoring.encoder, case.task.cluster
    if not isinstance(encoder, VocabularyEncoder):
        return None
    secret = ShardFile(case.heldout[own])
    published = (caption for path in case.shards for caption in ShardFile(path).captions)
    used = {word for caption in (*secret.captions, *published) for word in split_words(caption)}
    words = [word for word in encoder.words if word not in used]
    generator = generator_for(case.seed, "more-words", case.lease.lease_id)
    drawn = torch.randperm(len(words), generator=generator)[: case.bounds.word_rise_words].tolist()
    if not drawn:
        return None
    rows = range(min(_ROWS, secret.num_rows))
    most = encoder.config.max_tokens - 1  # so that the word is not cut off
    captions = [" ".join(split_words(secret.captions[row])[:most]) for row in rows]
    model = scoring.model(weights)
    x0 = scoring.codec.to_model(secret.latents[list(rows)])
    seed = seed_for(case.seed, "more-words", own)

    def loss(word: str) -> float:
        text = encoder.encode([f"{caption} {word}" for caption in captions])
        return float(heldout_losses(model, x0, text, objective=objective, seed=seed, num_draws=_DRAWS).mean())

    plain = loss("")
    return max((loss(words[number]) / plain, words[number]) for number in drawn)
