"""What users of diffusers expect of any pipeline: schedulers, callbacks, components, devices, dtypes."""

import io

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FlowMatchLCMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.callbacks import PipelineCallback, SDCFGCutoffCallback
from diffusers.utils.torch_utils import randn_tensor
from tiny_models import tiny_expert, tiny_router
from tiny_pipeline import GaussianExpert, tiny_pipeline

from paris.experts import ParisPipeline
from paris.experts.errors import LayoutError, SamplingError
from paris.experts.sampling.routing import Routing

FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
OTHERS = [
    FlowMatchEulerDiscreteScheduler(shift=3.0),
    FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    FlowMatchHeunDiscreteScheduler(),
    UniPCMultistepScheduler(**FLOW, flow_shift=1.0),
    DPMSolverMultistepScheduler(**FLOW, flow_shift=1.0),
]


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


@pytest.fixture
def scheduled(pipeline):
    """The same parts, with a scheduler of its own."""
    return lambda scheduler: with_scheduler(pipeline, scheduler)


def with_scheduler(pipeline, scheduler):
    made = ParisPipeline(**pipeline.components | {"scheduler": scheduler})
    made.set_progress_bar_config(disable=True)
    return made


def latents_of(pipeline, steps=6, **change):
    settings = {"guidance_scale": 2.0, "generator": 5, "output_type": "latent"} | change
    return pipeline(["red dog", "blue"], steps, **settings).images


def test_it_is_a_pipeline_of_diffusers_and_its_components_make_another(pipeline):
    assert isinstance(pipeline, DiffusionPipeline)
    assert set(pipeline.components) == {"experts", "router", "text_encoder", "codec", "prompt_router", "scheduler"}
    twin = ParisPipeline(**pipeline.components, **pipeline.parameters)
    assert twin.sampling == pipeline.sampling
    assert torch.equal(latents_of(twin, 2), latents_of(pipeline, 2))
    assert ParisPipeline.from_pipe(pipeline).router is pipeline.router
    assert "ParisPipeline" in repr(pipeline)


def test_euler_of_diffusers_at_shift_one_is_our_euler(pipeline, scheduled):
    for steps in (1, 7):
        theirs = latents_of(scheduled(FlowMatchEulerDiscreteScheduler()), steps)
        torch.testing.assert_close(theirs, latents_of(pipeline, steps, solver="euler"), rtol=0, atol=2e-6)


def test_a_shift_of_the_scheduler_is_our_shift_of_time(pipeline, scheduled):
    shifted = tiny_pipeline(**pipeline.components, sampling={"time_shift": 3.0})
    theirs = latents_of(scheduled(FlowMatchEulerDiscreteScheduler(shift=3.0)))
    torch.testing.assert_close(theirs, latents_of(shifted), rtol=0, atol=5e-5)
    assert (theirs - latents_of(pipeline)).abs().max() > 1e-3


@pytest.mark.parametrize("scheduler", OTHERS, ids=lambda scheduler: type(scheduler).__name__)
def test_every_flow_match_scheduler_comes_nearer_to_the_exact_picture_with_more_steps(scheduler):
    known = tiny_pipeline(experts=[GaussianExpert() for _ in range(3)], scheduler=scheduler)
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    exact = GaussianExpert.mean + GaussianExpert.deviation * noise
    few, many = ((latents_of(known, steps, latents=noise) - exact).abs().max() for steps in (6, 24))
    assert many < min(0.25, 0.35 * few)


def test_a_stochastic_scheduler_draws_from_the_call_s_generator(scheduled):
    pipeline = scheduled(FlowMatchLCMScheduler())
    first = latents_of(pipeline)
    assert torch.equal(first, latents_of(pipeline))
    assert not torch.equal(first, latents_of(pipeline, generator=6))
    by_generator = [latents_of(pipeline, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*by_generator)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (DDIMScheduler(), "DDIMScheduler as configured is no flow-match scheduler.*FlowMatchEuler"),
        (UniPCMultistepScheduler(), "UniPCMultistepScheduler as configured is no flow-match scheduler"),
        (DPMSolverMultistepScheduler(**FLOW, use_karras_sigmas=True), "noise levels from .*, not from 1 down to 0"),
        (FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "noise levels from 0.*, not from 1 down to 0"),
        (lambda x: x, "function is no scheduler"),
    ],
)
def test_a_scheduler_that_the_experts_cannot_follow_is_named(scheduled, scheduler, message):
    with pytest.raises(SamplingError, match=message):
        latents_of(scheduled(scheduler), 4)


def test_a_solver_beside_a_scheduler_is_refused(scheduled):
    with pytest.raises(SamplingError, match=r"'heun' would not be used.*scheduler = None"):
        latents_of(scheduled(FlowMatchEulerDiscreteScheduler()), solver="heun")


def test_a_generator_gives_the_noise_that_it_gives_to_every_pipeline(pipeline):
    start = []

    def keep(_, step, timestep, tensors):
        start.append(tensors["latents"])
        return {}

    for count in (1, 2):
        given = [torch.Generator().manual_seed(k) for k in range(count)]
        same = [torch.Generator().manual_seed(k) for k in range(count)]
        noise = randn_tensor((2, 3, 8, 8), generator=same[0] if count == 1 else same)
        by_generator = latents_of(pipeline, 2, generator=given[0] if count == 1 else given, callback_on_step_end=keep)
        assert torch.equal(by_generator, latents_of(pipeline, 2, latents=noise))
    assert len(start) == 4


def test_a_callback_sees_each_step_and_changes_what_it_goes_on_from(pipeline):
    seen = []

    def note(pipe, step, timestep, tensors):
        seen.append((step, float(timestep), pipe.num_timesteps, pipe.guidance_scale, set(tensors)))
        assert torch.allclose(tensors["weights"].sum(1), torch.ones(2))
        return tensors

    wanted = {"callback_on_step_end": note, "callback_on_step_end_tensor_inputs": ["latents", "weights"]}
    unchanged = latents_of(pipeline, 4, **wanted)
    assert torch.equal(unchanged, latents_of(pipeline, 4))
    assert [entry[:4] for entry in seen] == [(k, 1000 - 250 * k, 4, 2.0) for k in range(4)]
    assert seen[0][4] == {"latents", "weights"}
    ends = latents_of(pipeline, 4, callback_on_step_end=lambda p, s, t, x: {"latents": torch.full((2, 3, 8, 8), 0.5)})
    assert torch.equal(ends, torch.full((2, 3, 8, 8), 0.5))


def test_a_callback_class_of_diffusers_brings_its_own_inputs(pipeline):
    class Halve(PipelineCallback):
        tensor_inputs = ["latents"]  # noqa: RUF012

        def callback_fn(self, pipeline, step_index, timestep, callback_kwargs):
            return {"latents": callback_kwargs["latents"] / 2}

    by_class = latents_of(pipeline, 3, callback_on_step_end=Halve())
    by_function = latents_of(pipeline, 3, callback_on_step_end=lambda p, s, t, x: {"latents": x["latents"] / 2})
    assert torch.equal(by_class, by_function)
    with pytest.raises(SamplingError, match="prompt_embeds"):
        latents_of(pipeline, 3, callback_on_step_end=SDCFGCutoffCallback(cutoff_step_ratio=0.5))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "returned a NoneType"),
        ({"prompt_embeds": 1}, "returned prompt_embeds.*Only latents"),
        ({"latents": torch.zeros(2, 3, 4, 4)}, r"latents \[2, 3, 4, 4\], not \[2, 3, 8, 8\]"),
        ({"latents": 1.0}, "latents float"),
    ],
)
def test_what_a_callback_may_not_return_is_named(pipeline, answer, message):
    with pytest.raises(SamplingError, match=message):
        latents_of(pipeline, 2, callback_on_step_end=lambda *_: answer)


def test_an_interrupted_call_gives_what_is_there_and_the_next_call_is_whole(pipeline, scheduled):
    for pipe in (pipeline, scheduled(FlowMatchEulerDiscreteScheduler())):
        steps = []

        def stop(p, step, timestep, tensors, steps=steps):
            steps.append(tensors["latents"])
            p.interrupt = step == 1
            return {}

        stopped = latents_of(pipe, 5, callback_on_step_end=stop)
        assert len(steps) == 2
        assert torch.equal(stopped, steps[-1])
        assert not torch.equal(latents_of(pipe, 5), stopped)


def test_routing_is_told_on_request_and_bounded_as_asked(pipeline):
    made = pipeline(["red", "dog"], 4, 2.0, generator=1, routing="full", return_routing=True, output_type="np")
    trace = made.routing
    assert trace.weights.shape == (4, 2, 3)
    assert trace.times == pytest.approx((1.0, 0.75, 0.5, 0.25))
    assert (trace.weights > 0).all()
    alone = pipeline("red", 3, 2.0, generator=1, routing="full", max_experts=1, return_routing=True).routing
    assert (alone.weights > 0).sum(2).unique().tolist() == [1]
    strict = pipeline("red", 3, 2.0, routing="full", routing_threshold=1.0, return_routing=True).routing
    assert (strict.weights > 0).sum(2).unique().tolist() == [1]
    own = pipeline("red", 3, 2.0, generator=1, routing=Routing(max_experts=1), output_type="np").images
    assert np.array_equal(own, pipeline("red", 3, 2.0, generator=1, routing="top1", output_type="np").images)
    assert pipeline("red", 2, 2.0).routing is None
    images, routing = pipeline("red", 2, 2.0, return_dict=False, return_routing=True)
    assert len(images) == 1
    assert routing.weights.shape == (2, 1, 3)
    assert len(pipeline("red", 2, 2.0, return_dict=False)) == 1


def test_latents_are_what_the_pictures_are_decoded_from(pipeline):
    latents = latents_of(pipeline, 3)
    pictures = latents_of(pipeline, 3, output_type="np")
    np.testing.assert_array_equal(pipeline.codec.decode(latents), (pictures * 255).round().astype(np.uint8))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_draws_nearly_the_same_picture(dtype):
    exact = latents_of(tiny_pipeline(), 4, routing="full")
    pipeline = tiny_pipeline().to("cpu", dtype)
    assert (pipeline.dtype, pipeline.device) == (dtype, torch.device("cpu"))
    half = latents_of(pipeline, 4, routing="full")
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().max() < (0.1 if dtype == torch.bfloat16 else 0.02)
    assert pipeline.to(dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (lambda p: p.to(torch.int8), "cannot compute in torch.int8"),
        (lambda p: p.to("nowhere"), "no device 'nowhere'"),
        (lambda p: p.to("cpu", device="cpu"), "two values for device"),
        (lambda p: p.to(speed="high"), "not speed"),
        (lambda p: p.enable_model_cpu_offload(), "max_resident_experts"),
        (lambda p: p.enable_sequential_cpu_offload(), "max_resident_experts"),
        (lambda p: p.enable_group_offload("cpu"), "max_resident_experts"),
        (lambda p: p.enable_attention_slicing(), "scaled_dot_product_attention"),
        (lambda p: p.enable_xformers_memory_efficient_attention(), "scaled_dot_product_attention"),
        (lambda p: p.enable_vae_tiling(), "no VAE"),
        (lambda p: p.save_pretrained("x", safe_serialization=False), "safetensors"),
    ],
)
def test_what_makes_no_sense_here_is_refused_with_the_way_that_does(pipeline, move, message):
    with pytest.raises(SamplingError, match=message):
        move(pipeline)


def test_compiled_layers_draw_the_same_picture():
    pipeline = tiny_pipeline()
    exact = latents_of(pipeline, 2)
    # The eager backend traces as the others do and generates no code, for which this machine may have no compiler.
    torch.testing.assert_close(latents_of(pipeline.compile(backend="eager"), 2), exact, rtol=0, atol=1e-5)


def test_the_progress_bar_counts_steps_of_any_order(pipeline, scheduled):
    for pipe in (pipeline, scheduled(FlowMatchHeunDiscreteScheduler())):
        shown = io.StringIO()
        pipe.set_progress_bar_config(file=shown, mininterval=0)
        latents_of(pipe, 3)
        pipe.set_progress_bar_config(disable=True)
        assert "| 1/3 [" in shown.getvalue()
        assert "100%" in shown.getvalue()
        assert "| 3/3 [" in shown.getvalue()


def test_a_router_for_another_number_of_experts_is_refused():
    with pytest.raises(LayoutError, match="router knows 3 experts, there are 2"):
        tiny_pipeline(experts=[tiny_expert(0), tiny_expert(1)], router=tiny_router())
