from __future__ import annotations

import pytest
import torch
from plain_dit import PlainDiT
from plain_paris import scramble
from safetensors.torch import save_file
from tiny_models import TINY

from paris.experts.errors import CheckpointError
from paris.experts.models.imagenet import from_imagenet_dit, shared_modulation
from paris.experts.models.initial_weights import InitialWeights, starting_expert, write_initial_weights
from paris.experts.models.layers import sincos_pos_embed
from paris.experts.models.model import initial_expert

STEPS = torch.tensor([0, 250, 999])
NULL = torch.tensor([5, 5, 5])


@pytest.fixture
def dit():
    """A checkpoint whose layers answer to the time alike, but for what each adds of its own."""
    model = scramble(PlainDiT(TINY), 3).eval().requires_grad_(False)
    with torch.no_grad():
        for block in model.blocks[1:]:
            block.adaLN_modulation[1].weight.copy_(model.blocks[0].adaLN_modulation[1].weight)
    return model


def saved(tmp_path, tensors):
    path = tmp_path / "dit.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def tokens_of(expert, x, t):
    """What the expert's final layer is given, without text."""
    seen = []
    hook = expert.final_layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    text = torch.zeros(len(x), 1, TINY.text_embed_dim)
    with torch.no_grad():
        expert(x, t, text)
    hook.remove()
    return seen[0]


def test_the_blocks_compute_what_those_of_the_checkpoint_do_without_a_class(tmp_path, dit):
    expert = from_imagenet_dit(saved(tmp_path, dit.state_dict()), TINY, seed=0)
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(tokens_of(expert, x, STEPS / 1000), dit.tokens(x, STEPS, NULL), atol=2e-4, rtol=1e-4)


def test_one_block_alone_computes_the_same_under_the_same_modulation(tmp_path, dit):
    scramble(dit, 4)
    expert = from_imagenet_dit(saved(tmp_path, dit.state_dict()), TINY, seed=0)
    tokens, condition = torch.randn(3, 4, TINY.hidden_size), dit.condition(STEPS, NULL)
    context = expert.project_text(torch.zeros(3, 1, TINY.text_embed_dim))
    for ours, theirs, keys, values in zip(expert.layers, dit.blocks, context.keys, context.values, strict=True):
        wanted = theirs.adaLN_modulation(condition).unflatten(1, (6, -1))
        found = ours(tokens, wanted - ours.scale_shift_table, keys, values, None)
        torch.testing.assert_close(found, theirs(tokens, condition), atol=2e-4, rtol=1e-4)


def test_the_untrained_final_layer_predicts_zero_velocity_and_text_has_no_effect(tmp_path, dit):
    expert = from_imagenet_dit(saved(tmp_path, dit.state_dict()), TINY, seed=0)
    x, t, text = torch.randn(2, 3, 8, 8), torch.rand(2), torch.randn(2, 5, TINY.text_embed_dim)
    with torch.no_grad():
        assert expert(x, t, text).abs().max() == 0
    assert torch.equal(tokens_of(expert, x, t), tokens_of(expert, x, t))
    seeded = initial_expert(TINY, 0)
    for name in ("text_proj.weight", "final_layer.linear.weight", "layers.1.cross_attn.in_proj_weight"):
        assert torch.equal(expert.state_dict()[name], seeded.state_dict()[name])
    kept = [name for name in seeded.state_dict() if "cross_attn" not in name and "text" not in name]
    changed = [n for n in kept if not torch.equal(expert.state_dict()[n], seeded.state_dict()[n])]
    assert set(kept) - set(changed) == {"final_layer.linear.weight", "final_layer.linear.bias"} | {
        "final_layer.scale_shift_table"
    }


def test_the_shared_modulation_is_the_least_squares_fit_of_all_the_layers_own(tmp_path):
    dit = scramble(PlainDiT(TINY), 5)
    time_embed = initial_expert(TINY, 0).time_embed
    modulations = [(b.adaLN_modulation[1].weight.detach(), b.adaLN_modulation[1].bias.detach()) for b in dit.blocks]
    weight, bias, tables = shared_modulation(modulations, time_embed)
    times = torch.arange(1000) / 1000
    with torch.no_grad():
        seen = torch.nn.functional.silu(time_embed(times)).double()
    # One unknown function of time for all layers and one constant a layer: alternate the two exact solutions.
    own = torch.stack([seen @ w.double().T + b.double() for w, b in modulations])
    constants = torch.zeros(len(own), 1, own.shape[2], dtype=torch.float64)
    for _ in range(50):
        function = (own - constants).mean(0)
        constants = (own - function).mean(1, keepdim=True)
    found = seen @ weight.double().T + bias.double() + torch.stack(tables).double().flatten(1)[:, None]
    torch.testing.assert_close(found, function + constants, atol=1e-5, rtol=1e-5)


def diffusers_names(dit):
    """The same weights as diffusers writes a DiTTransformer2DModel: embedders in every block, no positions."""
    theirs, state = {}, dit.state_dict()
    plain = {"x_embedder.proj": "pos_embed.proj", "final_layer.linear": "proj_out_2"}
    plain["final_layer.adaLN_modulation.1"] = "proj_out_1"
    for n in range(len(dit.blocks)):
        block, norm = f"transformer_blocks.{n}", f"transformer_blocks.{n}.norm1"
        plain[f"blocks.{n}.adaLN_modulation.1"] = f"{norm}.linear"
        plain[f"blocks.{n}.attn.proj"] = f"{block}.attn1.to_out.0"
        plain |= {f"blocks.{n}.mlp.fc1": f"{block}.ff.net.0.proj", f"blocks.{n}.mlp.fc2": f"{block}.ff.net.2"}
        for kind in ("weight", "bias"):
            for part, piece in zip("qkv", state[f"blocks.{n}.attn.qkv.{kind}"].chunk(3), strict=True):
                theirs[f"{block}.attn1.to_{part}.{kind}"] = piece.clone()
            for place, number in ((0, 1), (2, 2)):
                name = f"{norm}.emb.timestep_embedder.linear_{number}.{kind}"
                theirs[name] = state[f"t_embedder.mlp.{place}.{kind}"].clone()
        theirs[f"{norm}.emb.class_embedder.embedding_table.weight"] = state["y_embedder.embedding_table.weight"].clone()
    for ours, name in plain.items():
        theirs |= {f"{name}.{kind}": state[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    return theirs


def test_the_names_of_diffusers_mean_the_same_weights(tmp_path, dit):
    dit.pos_embed.copy_(sincos_pos_embed(TINY.hidden_size, 2))
    ours = from_imagenet_dit(saved(tmp_path, dit.state_dict()), TINY, seed=0).state_dict()
    theirs = from_imagenet_dit(saved(tmp_path, diffusers_names(dit)), TINY, seed=0).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_names_are_those_that_diffusers_itself_gives(dit):
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        model = diffusers.DiTTransformer2DModel(
            num_attention_heads=TINY.num_heads,
            attention_head_dim=TINY.hidden_size // TINY.num_heads,
            in_channels=3,
            out_channels=6,
            num_layers=TINY.num_layers,
            sample_size=8,
            patch_size=4,
            num_embeds_ada_norm=5,
            norm_elementwise_affine=False,
        )
    found = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in diffusers_names(dit).items()}
    # Its blocks have the published ratio of 4 between the MLP's middle and its ends, the tiny one has 2.
    assert {n: s for n, s in found.items() if ".ff." not in n} == {n: s for n, s in wanted.items() if ".ff." not in n}
    assert found.keys() == wanted.keys()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("blocks.1.attn.qkv.weight"), r"lacks 'blocks\.1\.attn\.qkv\.weight'"),
        (lambda s: s.update({"head.weight": torch.zeros(1)}), r"has 'head\.weight'"),
        (lambda s: s.update(pos_embed=torch.zeros(1, 9, 24)), r"'pos_embed' is .* \[1, 9, 24\], not .* \[1, 4, 24\]"),
        (lambda s: s["x_embedder.proj.bias"].fill_(float("nan")), "'x_embedder.proj.bias' holds a value .* not finite"),
    ],
)
def test_another_checkpoint_is_refused_by_the_name_of_a_tensor(tmp_path, dit, change, named):
    state = {name: tensor.clone() for name, tensor in dit.state_dict().items()}
    change(state)
    with pytest.raises(CheckpointError, match=named):
        from_imagenet_dit(saved(tmp_path, state), TINY, seed=0)


def test_a_pickle_is_refused_without_being_opened(tmp_path):
    path = tmp_path / "DiT-XL-2-256x256.pt"
    torch.save({"pos_embed": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="no safetensors file") as caught:
        from_imagenet_dit(path, TINY, seed=0)
    assert "convert" in caught.value.next_step


def test_initial_weights_travel_as_a_file_and_are_checked_by_digest(tmp_path, dit):
    expert = from_imagenet_dit(saved(tmp_path, dit.state_dict()), TINY, seed=0)
    weights = write_initial_weights(tmp_path / "parts", expert)
    file = tmp_path / "parts" / weights.path
    assert weights.bytes == file.stat().st_size
    found = starting_expert(TINY, 1, weights, tmp_path / "parts")
    assert all(torch.equal(found.state_dict()[name], value) for name, value in expert.state_dict().items())
    assert all(parameter.requires_grad for parameter in found.parameters())
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="the run names"):
        starting_expert(TINY, 1, weights, tmp_path / "parts")
    file.unlink()
    with pytest.raises(CheckpointError, match="are missing"):
        starting_expert(TINY, 1, weights, tmp_path / "parts")


def test_a_run_without_such_a_file_starts_from_its_seed(tmp_path):
    found = starting_expert(TINY, 1, None, tmp_path).state_dict()
    assert all(torch.equal(found[name], value) for name, value in initial_expert(TINY, 1).state_dict().items())
    with pytest.raises(ValueError, match="path"):
        InitialWeights(path="../../etc/passwd.safetensors", sha256="0" * 64, bytes=1)
