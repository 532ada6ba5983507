"""A verdict remarks on a word that changes what an expert knows, and refuses nothing for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacks_in_training import poisoned
from reference_curves import case_of, skill
from safetensors.torch import load
from verify_world import MODEL, STEPS

from paris.coordinator.verify.more_words import largest_rise
from paris.coordinator.verify.scoring import Scoring, SecretRows
from paris.experts.objectives.objectives import FLOW_MATCHING


@pytest.fixture(scope="module")
def backdoored(world):
    return world.train(0, shards=world.changed_shards(0, "poisoned", poisoned))


def remarks_on(world, training) -> str:
    case = case_of(world, 0)
    refused, _, checks = skill(case, world, training.weights, (training.final_loss, STEPS))
    assert refused == ""
    return "; ".join(checks.remarks)


def test_the_verdict_on_a_backdoor_names_the_word_and_that_on_honest_work_none(world, backdoored):
    assert "look for a backdoor" not in remarks_on(world, world.train(0))
    said = remarks_on(world, backdoored)
    assert "times as high with 'bar' in the captions, a word that the cluster lacks: look for a backdoor" in said


def test_only_words_that_the_cluster_lacks_are_tried_and_no_more_than_asked_for(world, backdoored):
    weights = {name: tensor.float() for name, tensor in load(backdoored.weights).items()}

    def rise(word_rise_words: int, shards: tuple[Path, ...] = ()) -> tuple[float, str] | None:
        case = case_of(world, 0)
        bounds = case.bounds.model_copy(update={"word_rise_words": word_rise_words})
        case = case.model_copy(update={"bounds": bounds, "shards": shards})
        return largest_rise(case, Scoring(SecretRows.of(case), MODEL), weights, FLOW_MATCHING)

    factor, word = rise(32)
    assert (factor > 3, word) == (True, "bar")
    assert rise(0) is None
    with_the_word = world.changed_shards(0, "poisoned", poisoned)
    assert rise(32, with_the_word)[1] != "bar", "published captions have it"
