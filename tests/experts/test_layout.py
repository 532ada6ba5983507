import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TINY, TINY_ROUTER, tiny_expert, tiny_router

from paris.experts.errors import CheckpointError, LayoutError, SettingsError
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.prompt_router import PromptRouter, PromptRouterConfig
from paris.experts.models.router import initial_router
from paris.experts.release.layout import (
    expert_path,
    load_expert,
    load_prompt_router,
    load_router,
    read_layout,
    read_router,
    router_path,
    write_layout,
    write_router,
)
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings


def make_layout(**change):
    settings = {
        "name": "Tiny",
        "dataset_name": "dots",
        "num_experts": 3,
        "model": TINY,
        "router": TINY_ROUTER,
        "text": TextConfig(kind="vocabulary", dim=10, max_tokens=5, path="words/list.json"),
        "codec": CodecConfig(),
        "prompt_router": PromptRouterConfig(text_embed_dim=10, hidden_size=6, num_clusters=3),
        "sampling": {"num_steps": 20, "guidance_scale": 2.0, "routing": "full", "solver": "heun"},
    }
    return Layout.from_settings(settings | change)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    parts, folder = tmp_path_factory.mktemp("parts"), tmp_path_factory.mktemp("model")
    write_vocabulary(parts / "words" / "list.json", ["dog", "red"])
    experts = [tiny_expert(k) for k in range(3)]
    torch.manual_seed(0)
    write_layout(folder, make_layout(), experts, tiny_router(), parts, PromptRouter(make_layout().prompt_router))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "model")


def change_json(path, **change):
    fields = json.loads(path.read_text()) | change
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))


def test_a_written_model_has_the_published_files_and_reads_back_the_same(written):
    names = sorted(str(path.relative_to(written)) for path in written.rglob("*") if path.is_file())
    expert_files = ["config.json", "diffusion_pytorch_model.safetensors", "model_index.json"]
    router_files = ["config.json", "prompt_router.safetensors", "pytorch_model.safetensors"]
    assert names == sorted(
        [
            "config.json",
            "model_index.json",
            *(f"expert_{k}/{name}" for k in range(3) for name in expert_files),
            *(f"router/{name}" for name in router_files),
            "vocab.json",
        ]
    )
    layout = read_layout(written)
    assert layout == make_layout(text=make_layout().text.model_copy(update={"path": "vocab.json"}))
    for k in range(3):
        loaded, original = load_expert(written, layout, k).state_dict(), tiny_expert(k).state_dict()
        assert all(torch.equal(loaded[name], original[name]) for name in original)
    router = load_router(written, layout).state_dict()
    assert all(torch.equal(router[name], tensor) for name, tensor in tiny_router().state_dict().items())
    assert load_prompt_router(written, layout).config == layout.prompt_router


def test_files_written_before_can_be_given_in_place_of_models(written, tmp_path):
    layout = read_layout(written)
    write_layout(
        tmp_path / "copy",
        layout,
        [expert_path(written, k) for k in range(3)],
        router_path(written),
        written,
        written / "router" / "prompt_router.safetensors",
    )
    for path in written.rglob("*"):
        if path.is_file():
            assert (tmp_path / "copy" / path.relative_to(written)).read_bytes() == path.read_bytes()


def test_the_published_config_files_are_understood(folder):
    # With the sizes of a tiny model: no "text", no "codec", no picture size in router/config.json.
    change_json(
        folder / "config.json",
        text=...,
        codec=...,
        prompt_router=...,
        sampling=...,
        use_latents=True,
        num_channels=4,
        vae_name="x/y",
    )
    published = {
        "num_classes": 1000,
        "in_channels": 4,
        "out_channels": 4,
        "text_embed_dim": 768,
        "cfg_dropout_prob": 0.1,
    }
    for k in range(3):
        change_json(folder / f"expert_{k}" / "config.json", **published)
    change_json(folder / "router" / "config.json", in_channels=4, image_size=..., mlp_ratio=...)
    layout = read_layout(folder)
    assert layout.text.model_dump() == {
        "kind": "transformers",
        "dim": 768,
        "max_tokens": 77,
        "path": "text_encoder",
        "tokenizer_path": "tokenizer",
        "model_class": "CLIPTextModel",
        "attend_padding": True,
        "sha256": "",
    }
    assert layout.codec == CodecConfig(kind="vae", path="vae", scale=0.18215)
    assert layout.model.max_text_tokens == 77
    assert layout.router.mlp_ratio == 4.0
    assert layout.prompt_router is None
    sampling = layout.sampling
    assert (sampling.num_steps, sampling.guidance, sampling.solver) == (50, Guidance(scale=7.5), "euler")
    assert sampling.routing == Routing.named("top2")
    assert sampling == SamplingSettings()


def test_a_missing_expert_folder_is_named(folder):
    shutil.rmtree(folder / "expert_1")
    with pytest.raises(LayoutError, match=r"num_experts 3, but lacks expert_1/diffusion_pytorch_model.safetensors"):
        read_layout(folder)


def test_an_expert_too_many_is_named(folder):
    shutil.copytree(folder / "expert_0", folder / "expert_3")
    with pytest.raises(LayoutError, match="num_experts 3, but also a folder expert_3"):
        read_layout(folder)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"num_experts": "3"}, "num_experts is '3'"),
        ("config.json", {"num_experts": 0}, "num_experts is 0"),
        ("config.json", {"image_size": ...}, "image_size = None"),
        ("config.json", {"image_size": 9}, "image_size 9 is not a multiple of patch_size 4"),
        ("config.json", {"codec": {"kind": "jpeg"}}, "kind = 'jpeg'"),
        ("config.json", {"codec": {"kind": "vae", "path": "../vae"}}, "path = '../vae'"),
        ("config.json", {"sampling": {"routing": "best2"}}, "Unknown routing .best2."),
        ("router/config.json", {"num_clusters": 4}, "the router knows 4 experts, the model has 3"),
        ("router/config.json", {"in_channels": 4}, "router reads 4x8x8, the experts 3x8x8"),
        ("router/config.json", {"hidden_size": ...}, "'router.hidden_size' is missing"),
        ("expert_0/config.json", {"expert_id": 1}, "expert_0/config.json: expert_id is 1, only 0"),
        ("expert_1/config.json", {"text_embed_dim": 8}, "text_embed_dim of expert_1 is 8, that of the largest .* 10"),
        ("expert_2/config.json", {"use_class_conditioning": True}, "use_class_conditioning is True"),
        ("expert_2/config.json", {"architecture": "unet"}, "architecture is 'unet', only 'dit'"),
    ],
)
def test_a_field_that_contradicts_or_is_not_known_is_named(folder, file, change, message):
    change_json(folder / file, **change)
    with pytest.raises(LayoutError, match=message):
        read_layout(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "cannot be read"),
        ("config.json", b"{", "not JSON"),
        ("router/config.json", b"[1]", "not a JSON object"),
        ("expert_1/config.json", b"\xff", "not JSON"),
        ("config.json", b" " * (1 << 20) + b"{}", "more than"),
        ("config.json", b"[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_missing_or_malformed_is_named(folder, file, content, message):
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(LayoutError, match=f"{file} .*{message}"):
        read_layout(folder)


def break_weights(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("text_proj.bias"), "lacks 'text_proj.bias'"),
        (lambda t: t.update(extra=torch.zeros(1)), "has 'extra'"),
        (lambda t: t.update(pos_embed=torch.zeros(1, 5, 24)), r"'pos_embed' is .*\[1, 5, 24\], not .*\[1, 4, 24\]"),
        (lambda t: t["layers.1.mlp.0.bias"].fill_(float("nan")), "'layers.1.mlp.0.bias' holds .* not finite"),
        (lambda t: t.update(pos_embed=t["pos_embed"].long()), "'pos_embed' is torch.int64"),
    ],
)
def test_weights_that_are_not_the_model_s_are_refused_by_expert_and_name(folder, change, message):
    break_weights(expert_path(folder, 2), change)
    with pytest.raises(CheckpointError, match=f"expert_2: .*{message}"):
        load_expert(folder, read_layout(folder), 2)


def test_a_router_that_is_missing_or_not_the_model_s_is_refused(folder):
    layout = read_layout(folder)
    break_weights(router_path(folder), lambda tensors: tensors.pop("cls_token"))
    with pytest.raises(CheckpointError, match=r"router: .*lacks 'cls_token'"):
        load_router(folder, layout)
    router_path(folder).unlink()
    with pytest.raises(LayoutError, match=r"router lacks pytorch_model.safetensors"):
        load_router(folder, layout)


def test_half_precision_weights_load_as_asked(folder):
    break_weights(expert_path(folder, 0), lambda tensors: tensors.update({n: t.half() for n, t in tensors.items()}))
    layout = read_layout(folder)
    loaded = load_expert(folder, layout, 0)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.pos_embed, tiny_expert(0).pos_embed, atol=1e-3, rtol=1e-3)
    assert {p.dtype for p in load_expert(folder, layout, 0, torch.bfloat16).parameters()} == {torch.bfloat16}


def test_writing_what_does_not_fit_is_refused_and_leaves_no_complete_model(written, tmp_path):
    layout, prompt_router = read_layout(written), PromptRouter(make_layout().prompt_router)
    experts = [tiny_expert(k) for k in range(3)]
    with pytest.raises(LayoutError, match="2 experts to write, the layout says 3"):
        write_layout(tmp_path, layout, experts[:2], tiny_router(), written, prompt_router)
    with pytest.raises(LayoutError, match="prompt router and its configuration"):
        write_layout(tmp_path, layout, experts, tiny_router(), written)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.safetensors"):
        write_layout(tmp_path, layout, [*experts[:2], router_path(written)], tiny_router(), written, prompt_router)
    with pytest.raises(LayoutError, match=r"vocab.json is missing"):
        write_layout(tmp_path, layout, experts, tiny_router(), tmp_path / "nothing", prompt_router)
    assert not (tmp_path / "config.json").exists()


def test_a_layout_whose_parts_contradict_each_other_cannot_be_made():
    text = make_layout().text
    with pytest.raises(SettingsError, match="text states are 9 wide, the experts read 10"):
        make_layout(text=text.model_copy(update={"dim": 9}))
    with pytest.raises(SettingsError, match="pixels have 3 channels, the experts make 4"):
        make_layout(
            model=TINY.model_copy(update={"in_channels": 4}), router=TINY_ROUTER.model_copy(update={"in_channels": 4})
        )
    with pytest.raises(SettingsError, match="prompt router reads 10 wide states for 5 experts"):
        make_layout(prompt_router=PromptRouterConfig(text_embed_dim=10, num_clusters=5))


def test_a_router_that_sees_the_prompt_comes_back_and_must_read_the_model_s_text(tmp_path):
    seeing = TINY_ROUTER.model_copy(update={"text_embed_dim": 10})
    write_router(tmp_path, initial_router(seeing, 0))
    assert read_router(tmp_path).config == seeing
    assert make_layout(router=seeing).router == seeing
    with pytest.raises(SettingsError, match="10 wide, the router reads 7"):
        make_layout(router=TINY_ROUTER.model_copy(update={"text_embed_dim": 7}))


def test_a_router_by_itself_comes_back(tmp_path):
    write_router(tmp_path, tiny_router())
    router = read_router(tmp_path)
    assert router.config == TINY_ROUTER
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    assert torch.equal(router(x, t), tiny_router()(x, t))
    change_json(tmp_path / "config.json", num_heads=5)
    with pytest.raises(LayoutError, match="not a multiple of num_heads 5"):
        read_router(tmp_path)
