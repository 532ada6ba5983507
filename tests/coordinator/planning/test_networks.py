"""Sizes of frozen networks, against the networks themselves."""

from __future__ import annotations

import json

import pytest
import torch

from paris.coordinator.planning import networks

CLIP = {"kind": "transformers", "dim": 32, "max_tokens": 9, "path": "text_encoder"}


def test_a_vocabulary_computes_nothing():
    assert networks.text_encoder({"kind": "vocabulary", "dim": 8, "max_tokens": 4}, None) is None


def test_the_shape_of_a_text_encoder_is_read_where_its_folder_is_there(tmp_path):
    (tmp_path / "text_encoder").mkdir()
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 96, "vocab_size": 60}
    (tmp_path / "text_encoder" / "config.json").write_text(json.dumps(shape))
    read, assumed = networks.text_encoder(CLIP, tmp_path), networks.text_encoder(CLIP, None)
    assert read.assumption == ""
    assert "12 layers of width 32" in assumed.assumption
    assert read.num_parameters < assumed.num_parameters


def test_an_unknown_embedder_is_assumed_and_said():
    assert networks.embedder("facebook/dinov2-base").assumption == ""
    assert "DINOv2-large" in networks.embedder("someone/else").assumption
    assert networks.embedder("facebook/dinov2-large").num_parameters == pytest.approx(303_228_928, rel=0.01)


@pytest.mark.long
def test_the_networks_have_the_size_that_is_written_down(tmp_path):
    from diffusers import AutoencoderKL
    from efficientnet_lite_pytorch import EfficientNet
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import CLIPTextConfig, CLIPTextModel

    def count(work) -> int:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            work()
        return counter.get_total_flops()

    stages = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    widths = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
    with torch.device("meta"):
        vae, text = (
            AutoencoderKL(**stages, **widths),
            CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072)),
        )
        picture = torch.zeros(1, 3, 256, 256)
    for network, flops, module in (
        (networks.vae(256), count(lambda: vae.encode(picture)), vae),
        (networks.text_encoder({**CLIP, "dim": 768, "max_tokens": 77}, None), None, text),
    ):
        assert network.num_parameters == pytest.approx(sum(each.numel() for each in module.parameters()), rel=0.01)
        assert flops is None or network.flops == pytest.approx(flops, rel=0.01)
    lite = EfficientNet.from_name("efficientnet-lite0")
    assert networks.embedder("efficientnet-lite0").num_parameters == sum(each.numel() for each in lite.parameters())
    seen = count(lambda: lite.extract_features(torch.zeros(1, 3, 128, 128)))
    assert networks.embedder("efficientnet-lite0").flops == seen
