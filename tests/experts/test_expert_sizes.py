"""A model of experts of three sizes, one of which has larger patches."""

import pytest
import torch
from tiny_bank import EPSILON, ROUTER, K, loaded, open_bank, pictures, same, weights_of
from tiny_models import TINY, tiny_expert, tiny_router

from paris.experts import ParisPipeline
from paris.experts.errors import CheckpointError
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.objectives.objectives import Objective, as_velocity
from paris.experts.release.layout import expert_path, load_expert, read_layout, write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.model import load_model
from paris.experts.release.single import single_layout

NARROW = TINY.model_copy(update={"hidden_size": 12, "num_layers": 1})
COARSE = TINY.model_copy(update={"hidden_size": 12, "patch_size": 8})
SIZES = (NARROW, TINY, COARSE, NARROW)


def write_mixed_model(folder, parts, experts):
    write_vocabulary(parts / "words.json", ["dog", "red"])
    layout = Layout(
        name="Mixed",
        num_experts=K,
        model=TINY,
        sizes=SIZES,
        router=ROUTER,
        text=TextConfig(kind="vocabulary", dim=10, max_tokens=5, path="words.json"),
        codec=CodecConfig(),
        objectives=(Objective(), EPSILON, Objective(), Objective()),
    )
    write_layout(folder, layout, experts, tiny_router(config=ROUTER), parts)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    experts = [tiny_expert(k, size) for k, size in enumerate(SIZES)]
    return write_mixed_model(tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("parts"), experts)


def test_each_expert_keeps_its_size_and_the_largest_stands_for_the_model(written):
    layout = read_layout(written)
    assert layout.sizes == SIZES
    assert layout.model == TINY
    assert load_model(written).experts.config == TINY


@pytest.mark.parametrize("number", range(K))
def test_a_pipeline_draws_what_its_expert_draws_alone(written, number):
    pipeline = ParisPipeline.from_pretrained(written, device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    layout = read_layout(written)
    alone = as_velocity(load_expert(written, layout, number), layout.objectives[number])
    noise, t, (text, mask) = torch.randn(2, 3, 8, 8), torch.tensor([0.9, 0.4]), pipeline.encode_prompt(["red", "dog"])
    expected = alone(noise, t, alone.project_text(text, mask))
    expert = pipeline.experts[number]
    assert torch.equal(expert(noise, t, expert.project_text(text, mask)), expected)
    drawn = pipeline(["red", "dog"], num_inference_steps=2, generator=0, output_type="pt").images
    assert drawn.shape == (2, 3, 8, 8)


@pytest.mark.parametrize(("resident", "keep"), [(1, "disk"), (1, "memory"), (2, None)])
def test_pictures_do_not_depend_on_how_many_experts_of_a_size_are_resident(written, resident, keep):
    layout = read_layout(written)
    experts = [as_velocity(load_expert(written, layout, k), layout.objectives[k]) for k in range(K)]
    with open_bank(written, resident, keep=keep) as bank:
        assert torch.equal(pictures(bank, routing="full"), pictures(experts, routing="full"))
        assert len(bank.networks) == min(resident, 2) + 2
        # The only experts of their sizes never leave; the other two take turns in one slot, in each of three steps.
        assert bank.stats.fetches == (4 if resident == 2 else 2 + 4)


def test_an_expert_takes_the_place_of_one_of_its_size(written):
    with open_bank(written, 1) as bank:
        bank[0], bank[1]
        bank.prefetch(3)  # expert 0 is not in use
        assert bank.resident == [1, 3]
        bank[3]
        bank.prefetch(0)  # the only slot of its size is in use
        assert bank.resident == [1, 3]
        assert all(same(weights_of(bank[k]), loaded(written, k)) for k in (3, 0, 2))


def test_a_saved_pipeline_has_the_sizes_that_it_was_loaded_with(written, tmp_path):
    ParisPipeline.from_pretrained(written, device="cpu", max_resident_experts=1).save_pretrained(tmp_path)
    assert read_layout(tmp_path).sizes == SIZES
    assert all(same(loaded(tmp_path, k), loaded(written, k)) for k in range(K))


def test_an_expert_of_another_size_than_its_config_says_is_refused(written, tmp_path):
    experts = [expert_path(written, k) for k in (0, 0, 2, 3)]
    with pytest.raises(CheckpointError, match=r"lacks 'layers\.1\.attn"):
        write_mixed_model(tmp_path, written.parent / "none", experts)


def test_a_student_of_experts_of_several_sizes_has_the_largest_size(written):
    student = single_layout(read_layout(written), "student")
    assert student.sizes == (TINY,)
