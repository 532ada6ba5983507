import numpy as np
import pytest
import torch
from tiny_pretrained import write_vae

from paris.experts.errors import CodecError
from paris.experts.frozen.codec import CodecConfig, load_codec


def pictures(count=2, size=16):
    return np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def test_pixels_come_back_exactly_and_span_minus_one_to_one(tmp_path):
    codec = load_codec(CodecConfig(), tmp_path)
    images = pictures()
    stored = codec.encode(images)
    assert stored.dtype == np.uint8
    x = codec.to_model(stored)
    assert x.dtype == torch.float32
    assert x.min() >= -1
    assert x.max() <= 1
    assert torch.equal(codec.to_model(np.array([[[[0, 255]]]], dtype=np.uint8)).flatten(), torch.tensor([-1.0, 1.0]))
    assert np.array_equal(codec.decode(x), images.transpose(0, 2, 3, 1))
    assert codec.decode(torch.tensor([[[[9.0]], [[-9.0]], [[0.0]]]])).tolist() == [[[[255, 0, 128]]]]


def test_to_model_leaves_what_is_stored_as_it_is(tmp_path):
    codec = load_codec(CodecConfig(), tmp_path)
    stored = pictures()
    before = stored.copy()
    codec.to_model(stored)
    assert np.array_equal(stored, before)


@pytest.mark.parametrize(("kind", "stored"), [("pixels", pictures()), ("vae", np.float16([[[[-8.5, 0.3]]]]))])
def test_what_the_model_makes_is_stored_as_data_is(tmp_path, kind, stored):
    codec = load_codec(CodecConfig(kind=kind), tmp_path)
    again = codec.to_stored(codec.to_model(stored))
    assert again.dtype == codec.dtype
    assert np.array_equal(again, stored)
    assert np.isfinite(codec.to_stored(torch.full((1, 3, 2, 2), 1e9))).all()


@pytest.mark.parametrize("images", [np.zeros((1, 3, 8, 8), np.float32), np.zeros((3, 8, 8), np.uint8)])
def test_pictures_of_another_kind_are_refused(images, tmp_path):
    with pytest.raises(CodecError, match=r"uint8 \[B, 3, H, W\]"):
        load_codec(CodecConfig(), tmp_path).encode(images)


def test_latents_are_scaled_without_the_vae_s_files(tmp_path):
    x = load_codec(CodecConfig(kind="vae", scale=0.5), tmp_path).to_model(np.ones((1, 4, 2, 2), np.float16))
    assert torch.equal(x, torch.full((1, 4, 2, 2), 0.5))


def test_a_missing_vae_is_named_when_it_is_needed(tmp_path):
    codec = load_codec(CodecConfig(kind="vae"), tmp_path)
    for need in (codec.open, lambda: codec.decode(torch.zeros(1, 4, 2, 2)), lambda: codec.encode(pictures())):
        with pytest.raises(CodecError, match=r"no VAE in .*vae: config.json is missing"):
            need()


@pytest.fixture(scope="module")
def vae_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    write_vae(folder)
    return folder


def test_latents_are_the_vae_s_means_scaled_for_the_model_and_decoded_back(vae_folder):
    from diffusers import AutoencoderKL

    codec, images = load_codec(CodecConfig(kind="vae"), vae_folder), pictures()
    stored = codec.encode(images)
    assert stored.dtype == np.float16
    assert stored.shape == (2, 4, 8, 8)
    vae = AutoencoderKL.from_pretrained(vae_folder / "vae").eval()
    with torch.no_grad():
        mean = vae.encode(torch.from_numpy(images).float() / 127.5 - 1).latent_dist.mean
        torch.testing.assert_close(codec.to_model(stored), 0.18215 * mean, atol=1e-3, rtol=2e-3)
        expected = ((vae.decode(mean).sample.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    made = codec.decode(0.18215 * mean)
    assert made.dtype == np.uint8
    assert made.shape == (2, 16, 16, 3)
    assert np.abs(made - expected).max() <= 0.51


def test_a_broken_vae_is_named(tmp_path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(CodecError, match=r"The VAE in .*vae cannot be loaded"):
        load_codec(CodecConfig(kind="vae"), tmp_path).open()


def test_a_saved_codec_loads_back_and_decodes_the_same(vae_folder, tmp_path):
    codec = load_codec(CodecConfig(kind="vae", scale=0.3), vae_folder)
    again = load_codec(codec.save(tmp_path), tmp_path)
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(again.decode(latents), codec.decode(latents))
    assert load_codec(CodecConfig(), tmp_path).save(tmp_path) == CodecConfig()
