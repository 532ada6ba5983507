import numpy as np
import pytest
import torch
from tiny_models import TINY, TINY_ROUTER, tiny_expert, tiny_router
from tiny_pipeline import TEXT, WORDS, tiny_pipeline

from paris.experts import ParisPipeline
from paris.experts.errors import LayoutError, SamplingError, SettingsError
from paris.experts.frozen.codec import CodecConfig, PixelCodec
from paris.experts.frozen.text_vocabulary import VocabularyEncoder, write_vocabulary
from paris.experts.models.prompt_router import PromptRouter, PromptRouterConfig
from paris.experts.pipeline.drawing import encode_prompts
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings


def draw(pipeline, *prompts, **change):
    settings = {"num_inference_steps": 3, "guidance_scale": 2.0, "generator": 7, "output_type": "np"}
    return pipeline(list(prompts), **settings | change).images


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def prompt_router():
    torch.manual_seed(1)
    return PromptRouter(PromptRouterConfig(text_embed_dim=10, hidden_size=6, num_clusters=3)).eval()


@pytest.mark.parametrize("with_prompt_router", [False, True])
def test_a_model_written_to_a_folder_draws_the_same_pictures_when_it_is_loaded(tmp_path, with_prompt_router):
    prompts = prompt_router() if with_prompt_router else None
    write_vocabulary(tmp_path / "parts" / "vocab.json", WORDS)
    layout = Layout(
        name="Tiny",
        num_experts=3,
        model=TINY,
        router=TINY_ROUTER,
        text=TEXT,
        codec=CodecConfig(),
        prompt_router=prompts and prompts.config,
    )
    experts, router = [tiny_expert(k) for k in range(3)], tiny_router()
    write_layout(tmp_path / "model", layout, experts, router, tmp_path / "parts", prompts)
    original = ParisPipeline(
        experts, router, VocabularyEncoder(TEXT, WORDS), PixelCodec(CodecConfig()), prompt_router=prompts
    )
    loaded = ParisPipeline.from_pretrained(tmp_path / "model", device="cpu")
    assert np.array_equal(draw(loaded, "red dog", "blue"), draw(original, "red dog", "blue"))


def test_pictures_stand_in_the_order_of_the_prompts_each_prompt_s_together(pipeline):
    both = draw(pipeline, "red", "blue dog", num_images_per_prompt=2)
    assert both.shape == (4, 8, 8, 3)
    assert both.dtype == np.float32
    second = draw(pipeline, "blue dog", num_images_per_prompt=2, generator=[9, 10])
    np.testing.assert_allclose(both[2:], second, atol=1 / 255 + 1e-6)
    assert not np.array_equal(both[0], both[1])


def test_a_seed_gives_picture_i_the_seed_plus_i_and_none_gives_fresh_pictures(pipeline):
    by_one = draw(pipeline, "red", "red", generator=3)
    assert np.array_equal(by_one, draw(pipeline, "red", "red", generator=[3, 4]))
    generators = [torch.Generator().manual_seed(s) for s in (1, 1)]
    twins = draw(pipeline, "red", "red", generator=generators)
    assert np.array_equal(twins[0], twins[1])
    one = draw(pipeline, "red", "red", generator=torch.Generator().manual_seed(1))
    assert np.array_equal(one[0], twins[0])
    assert not np.array_equal(one[1], twins[1])
    assert not np.array_equal(draw(pipeline, "red", generator=None), draw(pipeline, "red", generator=None))


def test_what_is_not_asked_for_is_as_the_model_says(pipeline):
    sampling = SamplingSettings(num_steps=2, guidance=Guidance(scale=3.0), routing=Routing.named("full"), solver="heun")
    own = ParisPipeline(**pipeline.components, sampling=sampling)
    asked = pipeline(["red"], 2, 3.0, generator=1, routing="full", solver="heun", output_type="np").images
    assert np.array_equal(own(["red"], generator=1, output_type="np").images, asked)
    changed = own(["red"], 3, generator=1, output_type="np").images
    assert not np.array_equal(changed, asked)


def test_whatever_the_routing_guidance_may_lead_away_from_the_ensemble(pipeline):
    both = [
        ParisPipeline(
            **pipeline.components,
            sampling=SamplingSettings(guidance=Guidance(scale=3.0, away_from=away_from)),
        )
        for away_from in ("expert", "ensemble")
    ]
    for routing in ("top1", "top2"):
        of_expert, of_ensemble = (draw(one, "red", guidance_scale=3.0, routing=routing) for one in both)
        assert not np.array_equal(of_expert, of_ensemble)
        assert np.array_equal(of_ensemble, draw(both[1], "red", guidance_scale=3.0, routing=routing))


def test_a_negative_prompt_counts_in_who_speaks_for_all():
    posteriors = [
        encode_prompts(VocabularyEncoder(TEXT, WORDS), prompt_router(), ["red", "dog"], negative=negative).posterior
        for negative in (None, "", "dog", ["dog", "red"])
    ]
    assert [one.negative_evidence is None for one in posteriors] == [True, True, False, False]
    assert [len(one.negative_evidence) for one in posteriors[2:]] == [1, 2]
    torch.testing.assert_close(posteriors[2].negative_evidence[0], posteriors[3].evidence[1])


def test_all_output_types_hold_the_same_picture(pipeline):
    array = draw(pipeline, "dog")
    tensor = draw(pipeline, "dog", output_type="pt")
    image = pipeline("dog", 3, 2.0, generator=7).images[0]
    assert tensor.shape == (1, 3, 8, 8)
    assert image.size == (8, 8)
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0).numpy(), array[0])
    assert np.array_equal(np.asarray(image), (array[0] * 255).round().astype(np.uint8))


def test_no_negative_prompt_is_the_null_prompt_and_another_one_leads_elsewhere(pipeline):
    plain = draw(pipeline, "dog", "red")
    assert np.array_equal(plain, draw(pipeline, "dog", "red", negative_prompt=""))
    one = draw(pipeline, "dog", "red", negative_prompt="blue")
    assert not np.array_equal(plain, one)
    np.testing.assert_allclose(one, draw(pipeline, "dog", "red", negative_prompt=["blue", "blue"]), atol=1 / 255 + 1e-6)


def test_the_prompt_router_makes_the_choice_where_the_picture_cannot(pipeline):
    prompts = prompt_router()
    unsure = {**pipeline.components, "router": lambda x, t: torch.zeros(len(x), 3), "prompt_router": prompts}
    trace = ParisPipeline(**unsure)(
        ["red", ""], 2, 2.0, routing="full", output_type="latent", return_routing=True
    ).routing
    with torch.no_grad():
        states = pipeline.text_encoder.encode(["red", ""])
        red, null = prompts(*states).softmax(1)
    expected = torch.stack([red / null / (red / null).sum(), torch.full((3,), 1 / 3)])
    torch.testing.assert_close(trace.weights[0], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_type": "gif"}, "'gif'.*pil, np, pt, latent"),
        ({"routing": "best"}, "'best'"),
        ({"solver": "rk4"}, "'rk4'.*euler, heun"),
        ({"num_inference_steps": 0}, "num_steps = 0"),
        ({"guidance_scale": -1.0}, "guidance.scale = -1"),
        ({"max_experts": 0}, "max_experts = 0"),
        ({"routing_threshold": 1.5}, "threshold = 1.5"),
        ({"latents": torch.zeros(2, 3, 16, 16)}, r"latents have shape \[2, 3, 16, 16\], \[2, 3, 8, 8\] is needed"),
        ({"callback_on_step_end": "print"}, "a str, which cannot be called"),
        ({"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}, "prompt_embeds.*latents, weights"),
        ({"num_images_per_prompt": 0}, "2 prompts of 0 pictures"),
        ({"negative_prompt": ["a"]}, "1 negative prompts for 2 prompts"),
        ({"generator": [1, 2, 3]}, "3 seeds for 2 rows"),
    ],
)
def test_a_bad_argument_is_named(pipeline, change, message):
    with pytest.raises((SamplingError, SettingsError), match=message):
        draw(pipeline, "red", "dog", **change)


def test_no_prompt_at_all_is_refused(pipeline):
    with pytest.raises(SamplingError, match="0 prompts"):
        draw(pipeline)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "nowhere", "a/b/c"])
def test_a_folder_that_is_not_there_is_named_without_asking_any_hub(name):
    with pytest.raises(LayoutError, match=f"no folder {name}"):
        ParisPipeline.from_pretrained(name, endpoint="http://127.0.0.1:1")


def test_a_hub_that_does_not_answer_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(LayoutError, match="org/model cannot be fetched from the Hub") as caught:
        ParisPipeline.from_pretrained("org/model", endpoint="http://127.0.0.1:1")
    assert "\n" not in str(caught.value)
