"""A model of four tiny experts on disk, one of which predicts noise, and its bank."""

import torch
from safetensors.torch import load_file, save_file
from tiny_models import TINY, TINY_ROUTER, tiny_expert, tiny_router
from tiny_sampling import draw

from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.objectives.objectives import Objective
from paris.experts.release.bank import ExpertBank
from paris.experts.release.layout import load_expert, read_layout, write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.prompts import Prompts

K = 4
ROUTER = TINY_ROUTER.model_copy(update={"num_clusters": K})
EPSILON = Objective(kind="epsilon")


def write_tiny_model(folder, parts):
    write_vocabulary(parts / "words.json", ["dog", "red"])
    layout = Layout(
        name="Tiny",
        num_experts=K,
        model=TINY,
        router=ROUTER,
        text=TextConfig(kind="vocabulary", dim=10, max_tokens=5, path="words.json"),
        codec=CodecConfig(),
        objectives=(Objective(), EPSILON, Objective(), Objective()),
    )
    write_layout(folder, layout, [tiny_expert(k) for k in range(K)], tiny_router(config=ROUTER), parts)
    return folder


def open_bank(folder, resident=2, **settings):
    return ExpertBank.open(folder, read_layout(folder), max_resident_experts=resident, **settings)


def change_tensors(path, **change):
    save_file(load_file(path) | change, path)


def pictures(experts, device="cpu", **settings):
    states = torch.randn(5, 4, 10, generator=torch.Generator().manual_seed(1))
    negative = (torch.zeros(1, 4, 10), torch.tensor([[True, False, False, False]]))
    prompts, router = Prompts(states.to(device), negative=negative), tiny_router(config=ROUTER).to(device)
    return draw(experts, router, prompts, range(5), num_steps=3, **{"guidance": 3.0, **settings})


def weights_of(expert):
    return expert.state_dict()


def loaded(folder, number, dtype=torch.float32):
    return load_expert(folder, read_layout(folder), number, dtype).state_dict()


def same(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)
