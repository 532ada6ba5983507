"""What stands in the files of experts that come and go: read whatever their type, refused where they are not sound."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bank import change_tensors, loaded, open_bank, pictures, same, weights_of, write_tiny_model
from tiny_models import tiny_expert

from paris.experts.errors import CheckpointError
from paris.experts.release.layout import expert_path


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "model", tmp_path)


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
