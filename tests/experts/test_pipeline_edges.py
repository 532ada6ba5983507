"""A pipeline where it meets its users' programs: threads, copies, odd arguments, callbacks, other default types."""

import copy
import pickle
import shutil
import threading

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler
from safetensors.torch import load_file, save_file
from tiny_pipeline import tiny_pipeline

from paris.experts import ParisPipeline
from paris.experts.errors import SamplingError, SettingsError
from paris.experts.models.prompt_router import PromptRouter, PromptRouterConfig
from paris.experts.release.bank import ExpertBank
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings

PROMPTS = ["red", "blue dog", "dog", "red dog"]
SAMPLING = SamplingSettings(num_steps=4, guidance=Guidance(scale=2.0), routing=Routing.named("top2"))


@pytest.fixture(autouse=True, scope="module")
def one_thread_each():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    torch.manual_seed(1)
    prompts = PromptRouter(PromptRouterConfig(text_embed_dim=10, hidden_size=6, num_clusters=3)).eval()
    tiny_pipeline(prompt_router=prompts, sampling=SAMPLING).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(saved):
    return load(saved)


def load(folder, **change):
    pipeline = ParisPipeline.from_pretrained(folder, **{"device": "cpu", **change})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def latents(pipeline, prompt="red dog", **change):
    return pipeline(prompt, **{"generator": 3, "output_type": "latent", **change}).images


def by_threads(draw, inputs):
    """What `draw` makes of each input, all started at once."""
    made, start = {}, threading.Barrier(len(inputs))

    def work(number, given):
        start.wait()
        made[number] = draw(given)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(inputs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [made[number] for number in range(len(inputs))]


@pytest.mark.parametrize(
    "change",
    [
        {"max_resident_experts": 1, "keep": "disk"},
        {"max_resident_experts": 2, "keep": "memory"},
        {"max_resident_experts": 3},
        {"scheduler": FlowMatchHeunDiscreteScheduler()},
        {},
    ],
    ids=["1-disk", "2-memory", "3", "scheduler", "all"],
)
def test_threads_that_share_a_pipeline_draw_what_one_thread_draws(saved, change):
    pipeline = load(saved, **change)
    for routing in ("top2", "ancestral"):
        alone = [latents(pipeline, prompt, routing=routing) for prompt in PROMPTS]
        for _ in range(2):
            made = by_threads(lambda prompt, rule=routing: latents(pipeline, prompt, routing=rule), PROMPTS)
            assert all(torch.equal(*pair) for pair in zip(made, alone, strict=True))


def test_threads_with_pipelines_of_their_own_may_share_experts_and_scheduler(saved):
    first = load(saved, max_resident_experts=1, scheduler=FlowMatchEulerDiscreteScheduler())
    pipelines = [first, *(ParisPipeline(**first.components, **first.parameters) for _ in range(3))]
    for pipeline in pipelines:
        pipeline.set_progress_bar_config(disable=True)
    alone = [latents(first, prompt) for prompt in PROMPTS]
    for _ in range(3):
        made = by_threads(lambda pair: latents(*pair), list(zip(pipelines, PROMPTS, strict=True)))
        assert all(torch.equal(*pair) for pair in zip(made, alone, strict=True))


def test_a_thread_that_is_interrupted_ends_no_other_call(pipeline):
    whole = latents(pipeline)

    def draw(stops):
        def stop(pipe, step, *_):
            pipe.interrupt = stops
            return {}

        return latents(pipeline, callback_on_step_end=stop)

    made = by_threads(draw, [True, False, True, False])
    assert [torch.equal(latent, whole) for latent in made] == [False, True, False, True]


@pytest.mark.parametrize("resident", [None, 1, 2])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pipeline: pickle.loads(pickle.dumps(pipeline))])
def test_a_copy_draws_the_same_with_weights_of_its_own(saved, resident, copied):
    pipeline = load(saved, max_resident_experts=resident)
    before = latents(pipeline)
    twin = copied(pipeline)
    twin.set_progress_bar_config(disable=True)
    assert isinstance(twin.experts, ExpertBank)
    assert torch.equal(latents(twin), before)
    with torch.no_grad():
        for network in twin.experts.networks:
            network.pos_embed.add_(1.0)
    assert torch.equal(latents(pipeline), before)
    twin.experts.close()
    assert torch.equal(latents(pipeline), before)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_another_default_dtype_changes_no_picture(saved, default):
    exact = latents(load(saved))
    try:
        torch.set_default_dtype(default)
        pipeline = load(saved)
        assert pipeline.dtype == torch.float32
        assert torch.equal(latents(pipeline), exact)
        by_generator = [latents(pipeline, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
        assert torch.equal(*by_generator)
        assert by_generator[0].dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", ["bfloat16", "torch.bfloat16", "bf16", torch.bfloat16])
def test_a_dtype_may_be_given_by_its_name(saved, dtype):
    assert load(saved, dtype=dtype).dtype == load(saved, torch_dtype=dtype).dtype == torch.bfloat16


def test_auto_is_the_dtype_of_the_files_and_a_half_release_holds_half_routers_too(saved, tmp_path):
    assert load(saved, dtype="auto").dtype == torch.float32
    half = load(saved, torch_dtype=torch.float16)
    half.prompt_router.half()
    half.save_pretrained(tmp_path / "half")
    files = sorted((tmp_path / "half").rglob("*.safetensors"))
    assert len(files) == 5
    assert {tensor.dtype for file in files for tensor in load_file(file).values()} == {torch.float16}
    again = load(tmp_path / "half", torch_dtype="auto")
    assert again.dtype == torch.float16
    assert next(again.prompt_router.parameters()).dtype == torch.float32
    assert (latents(again) - latents(load(saved))).abs().max() < 0.05
    again.to(torch.float32)
    assert latents(again).dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"variant": "fp16"}, "variant='fp16'.*dtype="),
        ({"custom_pipeline": "x"}, "custom_pipeline='x'.*never executed"),
        ({"use_safetensors": False}, "use_safetensors=False"),
        ({"trust_remote_code": True}, "trust_remote_code=True"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"device": 1.5}, "no device 1.5"),
        ({"device_map": "balanced"}, "device_map is 'balanced'.*max_resident_experts"),
        ({"vae": object()}, "vae=.*codec="),
        ({"max_resident_expert": 2}, "max_resident_expert=2.*scheduler"),
        ({"dtype": "int8"}, "cannot compute in int8"),
        ({"dtype": torch.int8}, "cannot compute in torch.int8"),
        ({"dtype": {"default": torch.float16}}, "cannot compute in"),
        ({"dtype": "float16", "torch_dtype": "float32"}, "dtype is float16, torch_dtype is float32"),
    ],
)
def test_an_argument_that_changes_nothing_is_refused_by_name(saved, given, message):
    with pytest.raises(SettingsError, match=message):
        load(saved, **given)


def test_arguments_of_diffusers_are_taken_as_diffusers_takes_them(saved):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
    taken = load(saved, scheduler=scheduler, variant=None, use_safetensors=True, low_cpu_mem_usage=True, token=None)
    assert taken.scheduler is scheduler
    assert load(saved, prompt_router=None).prompt_router is None
    assert load(saved, sampling=SamplingSettings(num_steps=2)).sampling.num_steps == 2
    assert load(saved, device=None, device_map="cpu").device == torch.device("cpu")


@pytest.mark.parametrize(
    "seed", [np.int64(3), np.uint8(3), torch.tensor(3), [3, 4], np.array([3, 4]), (np.int32(3), 4)]
)
def test_a_seed_may_be_any_integer(pipeline, seed):
    assert torch.equal(latents(pipeline, ["red", "dog"], generator=seed), latents(pipeline, ["red", "dog"]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt": None}, "Neither prompt nor prompt_embeds.*null prompt is ''"),
        ({"prompt": ["red", None]}, "prompt holds None"),
        ({"prompt": [1]}, "prompt holds 1"),
        ({"prompt": 5}, "prompt is a int"),
        ({"prompt": []}, "0 prompts"),
        ({"negative_prompt": []}, "0 negative prompts for 1 prompts"),
        ({"num_images_per_prompt": 1.5}, "num_images_per_prompt is 1.5"),
        ({"num_images_per_prompt": None}, "num_images_per_prompt is None"),
        ({"latents": np.zeros((1, 3, 8, 8))}, "latents are a ndarray"),
        ({"negative_prompt": [None]}, "negative_prompt holds None"),
        ({"generator": 1.5}, "1.5 is no seed"),
        ({"generator": "1"}, "'1' is no seed"),
        ({"generator": [1, 2]}, "2 seeds for 1 rows"),
        ({"sigmas": []}, "sigmas is"),
        ({"sigmas": [0.5, 0.7]}, "falling noise levels"),
        ({"sigmas": [1.5, 0.7]}, "falling noise levels"),
        ({"sigmas": [1.0, 0.0]}, "without a last 0"),
        ({"sigmas": [1.0, float("nan")]}, "falling noise levels"),
        ({"sigmas": "high"}, "sigmas is 'high'"),
        ({"sigmas": [1.0, 0.5], "num_inference_steps": 3}, "2 sigmas for 3 steps"),
        ({"prompt_embeds": torch.zeros(1, 2, 10)}, "prompt and prompt_embeds are both given"),
        ({"prompt": None, "prompt_embeds": torch.zeros(1, 2, 9)}, r"\[1, 2, 9\].*\[N, L, 10\]"),
        ({"prompt": None, "prompt_embeds": torch.zeros(1, 2, 10) / 0}, "not finite"),
        ({"prompt_attention_mask": torch.ones(1, 2)}, "without prompt_embeds"),
        (
            {"prompt": None, "prompt_embeds": torch.zeros(1, 2, 10), "prompt_attention_mask": torch.zeros(1, 2)},
            "prompt_attention_mask does not fit",
        ),
        ({"negative_prompt_embeds": torch.zeros(2, 2, 10)}, "2 negative prompts for 1 prompts"),
    ],
)
def test_an_argument_of_another_kind_is_named(pipeline, given, message):
    with pytest.raises(SamplingError, match=message):
        latents(pipeline, **given)


def test_embeds_draw_what_their_prompts_draw(pipeline):
    states, mask = pipeline.encode_prompt(["red dog", "blue"])
    away, away_mask = pipeline.encode_prompt("dog")
    for routing in ("top2", "ancestral"):
        expected = latents(pipeline, ["red dog", "blue"], negative_prompt="dog", routing=routing)
        given = {"prompt_embeds": states, "prompt_attention_mask": mask, "routing": routing}
        negative = {"negative_prompt_embeds": away, "negative_prompt_attention_mask": away_mask}
        assert torch.equal(latents(pipeline, None, **given, **negative), expected)
    # Other lengths than the encoder's, longer and shorter, and without a mask.
    padded = torch.cat([states, torch.full_like(states, 9.0)], dim=1)
    longer = torch.cat([mask, torch.zeros_like(mask)], dim=1)
    made = latents(pipeline, None, prompt_embeds=padded, prompt_attention_mask=longer)
    torch.testing.assert_close(made, latents(pipeline, ["red dog", "blue"]), rtol=0, atol=1e-5)
    short = latents(pipeline, None, prompt_embeds=states[:1, :2], num_images_per_prompt=2)
    torch.testing.assert_close(short[:1], latents(pipeline, "red dog"), rtol=0, atol=1e-5)


def test_sigmas_are_the_noise_levels_of_the_steps(saved, pipeline):
    even = [1.0, 0.75, 0.5, 0.25]
    assert torch.equal(latents(pipeline, sigmas=even), latents(pipeline, num_inference_steps=4))
    assert torch.equal(latents(pipeline, sigmas=np.array(even)), latents(pipeline, num_inference_steps=4))
    seen = []

    def note(pipe, step, timestep, tensors):
        seen.append(round(float(timestep)))
        return {}

    uneven = latents(pipeline, sigmas=[1.0, 0.9, 0.2], callback_on_step_end=note)
    assert seen == [1000, 900, 200]
    by_scheduler = latents(load(saved, scheduler=FlowMatchEulerDiscreteScheduler()), sigmas=[1.0, 0.9, 0.2])
    torch.testing.assert_close(by_scheduler, uneven, rtol=0, atol=2e-6)
    with pytest.raises(SamplingError, match="HeunDiscreteScheduler takes no sigmas"):
        latents(load(saved, scheduler=FlowMatchHeunDiscreteScheduler()), sigmas=even)


@pytest.mark.parametrize("away_from", ["expert", "ensemble"])
@pytest.mark.parametrize("off", [1.0, 0.0])
def test_a_callback_changes_the_guidance_of_the_steps_that_follow(pipeline, away_from, off):
    def from_step(wanted, scale, name="guidance_scale"):
        def change(pipe, step, timestep, tensors):
            if step == wanted:
                setattr(pipe, name, scale)
            return {}

        return change

    guided = SamplingSettings(num_steps=4, guidance=Guidance(scale=2.0, away_from=away_from))
    whole = latents(pipeline, sampling=guided)
    # The steps that begin at t = 1 and 0.75 are guided.
    in_interval = guided.model_copy(update={"guidance": guided.guidance.model_copy(update={"interval": (0.6, 1.0)})})
    half = latents(pipeline, sampling=in_interval)
    for name in ("guidance_scale", "_guidance_scale"):
        made = latents(pipeline, sampling=guided, callback_on_step_end=from_step(1, off, name))
        assert torch.equal(made, half)
    assert not torch.equal(half, whole)
    assert not torch.equal(latents(pipeline, sampling=guided, callback_on_step_end=from_step(1, 4.0)), whole)
    assert torch.equal(latents(pipeline, sampling=guided), whole)
    with pytest.raises(SamplingError, match=r"changed to 3\.0 in a call that began without guidance"):
        latents(pipeline, guidance_scale=1.0, callback_on_step_end=from_step(1, 3.0))
    with pytest.raises(SettingsError, match=r"scale = -1"):
        latents(pipeline, sampling=guided, callback_on_step_end=from_step(1, -1.0))


def test_a_prompt_router_in_half_precision_is_loaded(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "model")
    path = folder / "router" / "prompt_router.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    assert next(load(folder).prompt_router.parameters()).dtype == torch.float32
