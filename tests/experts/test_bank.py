import shutil
import threading

import pytest
import torch
from deadlines import DEADLINE_S
from tiny_bank import K, loaded, open_bank, pictures, same, weights_of, write_tiny_model
from tiny_models import tiny_expert

from paris.experts.errors import SamplingError, SettingsError
from paris.experts.objectives.objectives import as_velocity
from paris.experts.release.layout import expert_path, load_expert, read_layout
from paris.experts.sampling.guidance import Guidance

AWAY = Guidance(scale=3.0, away_from="ensemble")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("parts"))


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "model")


@pytest.fixture(scope="module")
def all_there(written):
    layout = read_layout(written)
    experts = [as_velocity(load_expert(written, layout, k), layout.objectives[k]) for k in range(K)]
    made = {routing: pictures(experts, routing=routing) for routing in ("full", "top2")}
    return {**made, "away": pictures(experts, routing="top1", guidance=AWAY)}


@pytest.mark.parametrize(
    ("resident", "keep"), [(1, "disk"), (1, "memory"), (2, "disk"), (2, "memory"), (3, "disk"), (4, None), (None, None)]
)
def test_pictures_do_not_depend_on_how_many_experts_are_resident(written, all_there, resident, keep):
    with open_bank(written, resident, keep=keep) as bank:
        assert torch.equal(pictures(bank, routing="full"), all_there["full"])
        assert len(bank.networks) == len(bank.resident) == (resident or K)
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
            arrived.append(bank._under_way.seconds.result(timeout=DEADLINE_S))

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
