import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TINY, TINY_ROUTER, tiny_expert, tiny_router

from paris.experts.errors import CheckpointError, SamplingError, SettingsError
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig, write_vocabulary
from paris.experts.objectives.objectives import Objective, as_velocity
from paris.experts.release.layout import expert_path, load_expert, read_layout, write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.residency import ExpertBank
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.sampler import sample

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


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("parts"))


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "model")


AWAY = Guidance(scale=3.0, away_from="ensemble")


def open_bank(folder, resident=2, **settings):
    return ExpertBank.open(folder, read_layout(folder), max_resident_experts=resident, **settings)


def change_tensors(path, **change):
    save_file(load_file(path) | change, path)


def pictures(experts, device="cpu", **settings):
    states = torch.randn(5, 4, 10, generator=torch.Generator().manual_seed(1))
    return sample(
        experts,
        tiny_router(config=ROUTER).to(device),
        states.to(device),
        seeds=range(5),
        negative=(torch.zeros(1, 4, 10), torch.tensor([[True, False, False, False]])),
        num_steps=3,
        **{"guidance": 3.0, **settings},
    )


@pytest.fixture(scope="module")
def all_there(written):
    layout = read_layout(written)
    experts = [as_velocity(load_expert(written, layout, k), layout.objectives[k]) for k in range(K)]
    made = {routing: pictures(experts, routing=routing) for routing in ("full", "top2")}
    return {**made, "away": pictures(experts, routing="top1", guidance=AWAY)}


def weights_of(expert):
    return expert.state_dict()


def loaded(folder, number, dtype=torch.float32):
    return load_expert(folder, read_layout(folder), number, dtype).state_dict()


def same(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


@pytest.mark.parametrize(
    ("resident", "keep"), [(1, "disk"), (1, "memory"), (2, "disk"), (2, "memory"), (3, "disk"), (4, None), (None, None)]
)
def test_pictures_do_not_depend_on_how_many_experts_are_resident(written, all_there, resident, keep):
    with open_bank(written, resident, keep=keep) as bank:
        assert torch.equal(pictures(bank, routing="full"), all_there["full"])
        assert len(bank.models) == len(bank.resident) == (resident or K)
        # Three steps of all experts: each once, then those that had left.
        assert bank.stats.fetches == K + 2 * (K - (resident or K))
        assert torch.equal(pictures(bank, routing="top2"), all_there["top2"])
        assert torch.equal(pictures(bank, routing="top1", guidance=AWAY), all_there["away"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm device")
@pytest.mark.parametrize("keep", ["disk", "memory"])
@pytest.mark.parametrize("resident", [1, 2, 3])
def test_on_a_gpu_pictures_do_not_depend_on_how_many_experts_are_resident(written, resident, keep):
    with open_bank(written, None, device="cuda") as bank:
        expected = pictures(bank, "cuda", routing="full")
    with open_bank(written, resident, keep=keep, device="cuda") as bank:
        for _ in range(5):
            assert torch.equal(pictures(bank, "cuda", routing="full"), expected)


def test_without_a_limit_all_experts_are_loaded_at_once_and_stay(written):
    with open_bank(written, None) as bank:
        assert (len(bank), list(bank), bank.resident, bank.stats.fetches) == (K, [0, 1, 2, 3], [0, 1, 2, 3], K)
        assert (3 in bank, 4 in bank) == (True, False)
        assert all(same(weights_of(bank[k]), loaded(written, k)) for k in (0, 2, 3))
        assert bank.stats.fetches == K


def test_the_least_recently_used_expert_leaves_and_never_the_one_in_use(written):
    with open_bank(written, 2) as bank:
        first, second = bank[0], bank[2]
        assert bank.resident == [0, 2]
        assert bank[0] is first
        third = bank[3]  # 2 was used before 0
        assert third is second
        assert bank.resident == [0, 3]
        bank.prefetch(2)  # 3 is in use
        assert bank[3] is third
        assert bank[2] is first
        assert all(same(weights_of(bank[k]), loaded(written, k)) for k in (3, 2))


def test_with_one_slot_nothing_is_fetched_before_the_one_in_use_is_done(written):
    with open_bank(written, 1) as bank:
        only = bank[0]
        bank.prefetch(2)
        assert bank.resident == [0]
        assert same(weights_of(only), loaded(written, 0))
        assert bank[2] is only
        assert same(weights_of(only), loaded(written, 2))
        assert bank.stats.fetches == 2


def test_the_next_expert_arrives_while_the_present_one_computes(written):
    with open_bank(written, 2) as bank:
        present = bank[0]
        bank.prefetch(2)
        arrived = []

        def while_computing(*_):
            # Were the fetch to wait for the computing thread, the two would wait for each other here.
            arrived.append(bank._under_way.seconds.result(timeout=60))

        handle = present.layers[0].register_forward_hook(while_computing)
        present(torch.zeros(1, 3, 8, 8), torch.ones(1), torch.zeros(1, 2, 10))
        handle.remove()
        assert len(arrived) == 1
        assert bank.resident == [0, 2]
        assert same(weights_of(bank[2]), loaded(written, 2))
        assert bank.stats.fetches == 2
        assert bank.stats.fetch_s > arrived[0] > 0


def test_what_was_prefetched_in_vain_harms_nothing(written):
    with open_bank(written, 2, keep="memory") as bank:
        bank[0]
        bank.prefetch(2)
        assert same(weights_of(bank[3]), loaded(written, 3))
        bank.prefetch(3)  # resident already
        bank.prefetch(0)
        bank.prefetch(2)  # one at a time: dropped, or begun where the first is done
        for number in (3, 0, 2):
            assert same(weights_of(bank[number]), loaded(written, number))


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_floating_type_on_disk_is_read_as_the_usual_loader_reads_it(folder, stored):
    path = expert_path(folder, 3)
    save_file({name: tensor.to(stored) for name, tensor in load_file(path).items()}, path)
    for computed in (torch.float16, torch.bfloat16, torch.float32):
        with open_bank(folder, 1, dtype=computed) as bank:
            found = weights_of(bank[3])
            assert same(found, loaded(folder, 3, computed))
            assert all(tensor.dtype == computed for tensor in found.values())


@pytest.mark.parametrize(("value", "prefetched"), [(float("nan"), True), (-float("inf"), False)])
def test_a_value_that_is_not_finite_is_refused_by_name_when_its_expert_is_asked_for(folder, value, prefetched):
    path = expert_path(folder, 2)
    weight = load_file(path)["text_proj.weight"]
    weight[-1, -1] = value
    change_tensors(path, **{"text_proj.weight": weight})
    with open_bank(folder) as bank:
        bank[0]
        if prefetched:
            bank.prefetch(2)
        for _ in range(2):
            with pytest.raises(
                CheckpointError, match=r"expert_2: .*'text_proj.weight' holds a value that is not finit"
            ):
                bank[2]
        assert same(weights_of(bank[1].model), loaded(folder, 1))
        with pytest.raises(CheckpointError, match="expert_2"):
            pictures(bank, routing="full")
    with pytest.raises(CheckpointError, match=r"expert_2: .*not finite"):
        open_bank(folder, None)


def test_a_value_too_large_for_the_type_that_is_computed_in_is_refused(folder):
    change_tensors(expert_path(folder, 1), **{"text_proj.bias": torch.full((24,), 1e5)})
    with open_bank(folder, dtype=torch.bfloat16) as bank:
        bank[1]
    with open_bank(folder, dtype=torch.float16) as bank, pytest.raises(CheckpointError, match="expert_1"):
        bank[1]


def test_the_files_of_all_experts_are_checked_when_the_model_is_opened(folder):
    path = expert_path(folder, 3)
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if name != "pos_embed"}, path)
    with pytest.raises(CheckpointError, match=r"expert_3: .* lacks 'pos_embed'"):
        open_bank(folder)
    save_file(tensors | {"text_proj.bias": torch.zeros(25)}, path)
    with pytest.raises(CheckpointError, match=r"expert_3: .*'text_proj.bias' is torch.float32 \[25\], not"):
        open_bank(folder)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"expert_3: .*not a readable safetensors file"):
        open_bank(folder)


@pytest.mark.parametrize(
    ("change", "keep"), [("other", "disk"), ("other", "memory"), ("cut", "disk"), ("gone", "disk")]
)
def test_a_file_that_changes_after_the_model_was_opened_is_refused(folder, change, keep):
    path, sound = expert_path(folder, 3), loaded(folder, 2)
    with open_bank(folder, keep=keep) as bank:
        bank[0]
        if change == "other":
            save_file(tiny_expert(9).state_dict(), path)
        elif change == "cut":
            path.write_bytes(path.read_bytes()[:-4])
        else:
            path.unlink()
        bank.prefetch(3)
        with pytest.raises(CheckpointError, match=r"expert_3: .*(has changed since|cannot be read)"):
            bank[3]
        assert same(weights_of(bank[2]), sound)


def test_experts_kept_in_memory_are_read_from_disk_once(folder):
    expected = loaded(folder, 3)
    with open_bank(folder, 1, keep="memory") as bank:
        bank[3], bank[0]
        expert_path(folder, 3).unlink()
        assert same(weights_of(bank[3]), expected)


def test_moving_to_another_type_reads_the_files_again(written):
    with open_bank(written, 2, dtype=torch.float16) as bank:
        bank[0]
        assert bank.to("cpu").resident == [0]
        assert bank.to("cpu", torch.float32).resident == []
        assert same(weights_of(bank[0]), loaded(written, 0))


def test_closing_ends_the_thread_and_the_bank(written):
    def fetching():
        return {thread for thread in threading.enumerate() if thread.name.startswith("expert-fetch")}

    before = fetching()
    bank = open_bank(written)
    bank[0]
    bank.prefetch(2)
    assert len(fetching() - before) == 1
    bank.close()
    bank.close()
    assert fetching() == before
    assert bank.resident == []
    with pytest.raises(SamplingError, match="closed"):
        bank[0]


def test_an_expert_that_does_not_exist_and_a_limit_that_cannot_be_are_refused(written):
    with open_bank(written) as bank:
        for wrong in (-1, K, "0"):
            for asked in (bank.__getitem__, bank.prefetch):
                with pytest.raises(SamplingError, match="no expert"):
                    asked(wrong)
        assert same(weights_of(bank[0]), loaded(written, 0))
    with pytest.raises(SettingsError, match="max_resident_experts is 0"):
        open_bank(written, 0)


def test_objectives_are_turned_into_velocities(written):
    x, t, text = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 0.9]), torch.randn(2, 3, 10)
    with open_bank(written, 1) as bank, torch.no_grad():
        for k, objective in enumerate(read_layout(written).objectives):
            assert torch.equal(bank[k](x, t, text), as_velocity(tiny_expert(k), objective)(x, t, text))
