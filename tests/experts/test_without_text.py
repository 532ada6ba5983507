"""Experts that are trained without captions: no text in the model, in its training, in its files, in its pipeline."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import TINY, tiny_expert
from tiny_pipeline import tiny_pipeline
from tiny_training import MODEL, SHARD_ROWS, make_rows

from paris.experts import ParisPipeline
from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import write_shard
from paris.experts.errors import SamplingError, SettingsError
from paris.experts.frozen.codec import CodecConfig, PixelCodec
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_none import NoText
from paris.experts.models.presets import ModelConfig, model_preset
from paris.experts.pipeline.drawing import draw
from paris.experts.release.layout import read_layout
from paris.experts.release.model import load_model
from paris.experts.release.single import single_layout
from paris.experts.training.batches import Batches, largest_batch
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.needs import num_parameters

NO_TEXT = TextConfig(kind="none")
SILENT = {"text_embed_dim": 0, "max_text_tokens": 0}


def silent(config: ModelConfig) -> ModelConfig:
    return config.model_copy(update=SILENT)


@pytest.fixture(scope="module")
def pipeline():
    experts = [tiny_expert(k, silent(TINY)) for k in range(3)]
    return tiny_pipeline(experts=experts, text_encoder=NoText(NO_TEXT))


def test_an_expert_without_text_has_no_parameter_for_it_and_starts_as_the_others_do():
    reads, reads_none = tiny_expert(1), tiny_expert(1, silent(TINY))
    left_out = set(reads.state_dict()) - set(reads_none.state_dict())
    assert left_out == {name for name in reads.state_dict() if ".cross_attn." in name or "text_proj" in name}
    assert sum(p.numel() for p in reads_none.parameters()) == num_parameters(silent(TINY))
    published = model_preset("dit-b-2")
    with torch.device("meta"):
        network = type(reads)(silent(published))
    assert num_parameters(silent(published)) == sum(p.numel() for p in network.parameters()) < num_parameters(published)


def test_its_velocity_is_that_of_no_text_however_that_is_said_and_a_text_is_refused():
    expert, x, t = tiny_expert(2, silent(TINY)), torch.randn(2, 3, 8, 8), torch.tensor([0.2, 0.9])
    states, mask = NoText(NO_TEXT).encode(["a dog", ""])
    whole = expert(x, t, None)
    assert torch.equal(whole, expert(x, t, states, mask))
    assert torch.equal(whole, expert(x, t, expert.project_text(states, mask).rows(slice(0, 2))))
    assert not torch.equal(whole[0], expert(x.flip(0), t.flip(0), None)[0])
    with pytest.raises(SamplingError, match=r"shape \[2, 5, 10\], the expert takes \[B, L, 0\]"):
        expert(x, t, torch.zeros(2, 5, 10))
    with pytest.raises(SamplingError, match="reads a text, but was given none"):
        tiny_expert(2)(x, t, None)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "none", "dim": 8}, "'none' has neither dim nor max_tokens"),
        ({"kind": "vocabulary", "dim": 8}, "'vocabulary' needs dim and max_tokens"),
        ({"kind": "transformers", "max_tokens": 8}, "'transformers' needs dim and max_tokens"),
    ],
)
def test_a_text_encoder_has_a_size_and_none_has_no_size(fields, problem):
    with pytest.raises(SettingsError, match=problem):
        TextConfig.from_settings(fields)


def test_a_model_has_a_width_and_a_length_of_text_or_neither():
    with pytest.raises(SettingsError, match="text_embed_dim 0 and max_text_tokens 5: both are 0, or none"):
        ModelConfig.from_settings({**TINY.to_settings(), "text_embed_dim": 0})


@pytest.fixture
def shards(tmp_path):
    """Makes the shards of a task, with captions or without."""

    def make(caption: str | None) -> list:
        paths = []
        for number, count in enumerate(SHARD_ROWS):
            rows = make_rows(count, number)
            rows = rows if caption is None else [replace(row, caption=caption) for row in rows]
            paths.append(tmp_path / f"{caption}-{number}.parquet")
            write_shard(paths[-1], rows, (3, 8, 8), "uint8")
        return paths

    return make


def task(**training) -> TrainingTask:
    settings = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "snapshot_every": 3, **training}
    return TrainingTask(
        run_id="run",
        seed=3,
        task_id="expert-0",
        model=silent(MODEL),
        training=TrainingConfig.from_settings(settings),
        text=NO_TEXT,
        codec=CodecConfig(),
        shard_rows=SHARD_ROWS,
    )


def test_training_reads_no_captions_and_drops_none(shards, tmp_path):
    weights = []
    for number, (caption, dropout) in enumerate([("", 0.0), ("a red dog", 0.0), (None, 1.0)]):
        paths = shards(caption)
        training = ExpertTraining(task(caption_dropout=dropout), tmp_path / str(number), paths.__getitem__, tmp_path)
        finished = training.run(lambda _: None, lambda: False)
        assert finished.is_complete
        weights.append(finished.weights_sha256)
    assert len(set(weights)) == 1
    batch = Batches(task(), ClusterData(paths), PixelCodec(CodecConfig()), NoText(NO_TEXT)).batch(0)
    assert (batch.text, batch.text_mask) == (None, None)
    assert largest_batch(silent(MODEL), NO_TEXT, 4).text is None


def test_a_pipeline_without_text_takes_no_prompt(pipeline):
    options = {"num_inference_steps": 4, "output_type": "pt"}
    made = pipeline(num_images_per_prompt=3, generator=5, return_routing=True, **options)
    assert made.images.shape == (3, 3, 8, 8)
    assert pipeline.sampling.guidance.scale == 1.0
    assert made.routing.summary().experts_per_picture == 1.0, "each picture's expert is drawn"
    assert torch.equal(pipeline([""] * 3, generator=5, **options).images, made.images)
    assert torch.allclose(pipeline(generator=6, **options).images[0], made.images[1], atol=1 / 255)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"prompt": "a dog"}, "prompt is 'a dog', but this model was trained without captions"),
        ({"prompt": ["", "a dog"]}, "prompt is 'a dog'"),
        ({"negative_prompt": "grey"}, "negative_prompt is 'grey'"),
        ({"prompt_embeds": torch.zeros(1, 5, 10)}, "prompt_embeds is given, but this model reads no text"),
        ({"negative_prompt_embeds": torch.zeros(1, 5, 10)}, "negative_prompt_embeds is given"),
        ({"guidance_scale": 3.0}, "guidance_scale is 3.0, but this model reads no text"),
        ({"num_images_per_prompt": 0}, "1 prompts of 0 pictures"),
    ],
)
def test_what_needs_a_text_is_refused_by_name(pipeline, arguments, problem):
    with pytest.raises(SamplingError, match=problem):
        pipeline(**{"num_inference_steps": 2, **arguments})


def test_encoding_a_prompt_is_refused_too(pipeline):
    with pytest.raises(SamplingError, match="prompt is 'a dog'"):
        pipeline.encode_prompt("a dog")


def test_guidance_away_from_the_ensemble_leads_towards_the_pictures_own_cluster(pipeline):
    settings = pipeline.sampling
    guided = settings.model_copy(
        update={"guidance": settings.guidance.model_copy(update={"scale": 2.0, "away_from": "ensemble"})}
    )
    plain, led = (
        pipeline(generator=0, num_images_per_prompt=4, num_inference_steps=3, output_type="pt", sampling=one).images
        for one in (settings, guided)
    )
    assert not torch.equal(plain, led)


def test_its_folder_has_no_text_encoder_and_loads_as_the_same_model(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    assert not any(path.name in ("vocab.json", "text_encoder", "tokenizer") for path in tmp_path.iterdir())
    expert = json.loads((tmp_path / "expert_0" / "config.json").read_text())
    assert (expert["use_text_conditioning"], expert["text_embed_dim"]) == (False, 0)
    loaded = ParisPipeline.from_pretrained(tmp_path, device="cpu")
    loaded.set_progress_bar_config(disable=True)
    wanted, found = (one(generator=7, num_inference_steps=3, output_type="pt").images for one in (pipeline, loaded))
    assert torch.equal(wanted, found)
    settings = loaded.sampling.with_overrides(num_steps=3)
    drawn = draw(load_model(tmp_path, device="cpu"), [""], [7], settings)
    assert np.abs(drawn[0] / 255 - found[0].permute(1, 2, 0).numpy()).max() <= 1 / 255


def test_a_folder_whose_experts_say_that_they_read_no_text_needs_no_text_settings(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    root = json.loads((tmp_path / "config.json").read_text())
    for name in ("text", "sampling"):
        del root[name]
    (tmp_path / "config.json").write_text(json.dumps(root))
    layout = read_layout(tmp_path)
    assert layout.text == NO_TEXT
    assert (layout.sampling.guidance.scale, layout.sampling.routing.name) == (1.0, "ancestral")


def test_a_release_whose_guidance_would_do_nothing_is_refused(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    layout = read_layout(tmp_path)
    with pytest.raises(SettingsError, match=r"guidance_scale is 2\.0, but this model reads no text"):
        type(layout).from_settings({**dict(layout), "sampling": {"guidance_scale": 2.0}})
    guided = {"guidance_scale": 2.0, "guidance_away_from": "ensemble"}
    away = type(layout).from_settings({**dict(layout), "sampling": guided})
    assert single_layout(away, "student").sampling.guidance.scale == 1.0, "one model has no ensemble"
