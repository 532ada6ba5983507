"""p(k | prompt), and how it joins what the noisy picture says."""

from __future__ import annotations

import pytest
import torch

from paris.experts.errors import CheckpointError
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import VocabularyEncoder
from paris.experts.models.prompt_router import (
    PromptPosterior,
    PromptRouterConfig,
    load_prompt_router,
    save_prompt_router,
    train_prompt_router,
)

WORDS = ["apple", "bus", "car", "cherry", "green", "pear", "red", "tram"]
CAPTIONS = ["red apple", "cherry", "green pear", "red bus", "car", "green tram"]
CLUSTERS = [0, 0, 0, 1, 1, 1]


def encoder() -> VocabularyEncoder:
    return VocabularyEncoder(TextConfig(kind="vocabulary", dim=16, max_tokens=4), WORDS)


@pytest.fixture(scope="module")
def trained():
    return train_prompt_router(encoder(), CAPTIONS, CLUSTERS, 2, seed=3)


def test_it_learns_which_cluster_a_caption_is_of(trained):
    logits = trained(*encoder().encode(CAPTIONS))
    assert logits.argmax(1).tolist() == CLUSTERS


def test_it_reads_the_words_that_tell_the_clusters_apart(trained):
    logits = trained(*encoder().encode(["a green apple", "a red tram"]))
    assert logits.argmax(1).tolist() == [0, 1]


def test_the_null_prompt_says_about_the_proportions(trained):
    prior = trained(*encoder().encode([""])).softmax(1)[0]
    assert prior.tolist() == pytest.approx([0.5, 0.5], abs=0.15)


def test_padding_counts_for_nothing(trained):
    states, mask = encoder().encode(["red apple"])
    longer = torch.cat([states, torch.full_like(states, 9.0)], 1)
    longer_mask = torch.cat([mask, torch.zeros_like(mask)], 1)
    torch.testing.assert_close(trained(longer, longer_mask), trained(states, mask))


def test_training_twice_gives_the_same_weights(trained):
    again = train_prompt_router(encoder(), CAPTIONS, CLUSTERS, 2, seed=3).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in trained.state_dict().items())


def test_picture_and_prompt_are_joined_by_bayes_rule():
    """Against the joint distribution of a picture and a prompt that are independent given the cluster."""
    generator = torch.Generator().manual_seed(0)
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    of_picture = torch.rand(3, 4, generator=generator, dtype=torch.float64).softmax(1)
    of_prompt = torch.rand(3, 5, generator=generator, dtype=torch.float64).softmax(1)
    joint = prior[:, None, None] * of_picture[:, :, None] * of_prompt[:, None, :]
    picture, prompt = 2, 4
    wanted = joint[:, picture, prompt] / joint[:, picture, prompt].sum()
    given_picture = (prior * of_picture[:, picture]).log()[None]
    given_prompt = (prior * of_prompt[:, prompt]).log()[None]
    got = (given_picture + PromptPosterior(given_prompt, prior.log()[None]).evidence).softmax(1)[0]
    torch.testing.assert_close(got, wanted)


def test_it_comes_back_from_its_file_and_another_shape_is_refused(trained, tmp_path):
    save_prompt_router(tmp_path / "p.safetensors", trained)
    again = load_prompt_router(tmp_path / "p.safetensors", trained.config)
    text = encoder().encode(CAPTIONS)
    assert torch.equal(again(*text), trained(*text))
    other = PromptRouterConfig(text_embed_dim=16, num_clusters=3)
    with pytest.raises(CheckpointError, match=r"head\.(bias|weight)"):
        load_prompt_router(tmp_path / "p.safetensors", other)
