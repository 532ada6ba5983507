import json
import os
import subprocess
import sys

import pytest
import torch
from deadlines import DEADLINE_S

from paris.experts.seeding import generator_for
from paris.experts.seeds import seed_for


def test_the_same_name_gives_the_same_numbers_whatever_was_drawn_before():
    first = torch.randn(5, generator=generator_for(3, "noise", 7))
    torch.randn(100)
    assert torch.equal(torch.randn(5, generator=generator_for(3, "noise", 7)), first)


def test_names_that_look_alike_differ():
    names = [(1,), (1, "1"), (1, 1), (11,), (1, "a", "b"), (1, "ab"), (1, "a,b"), (1, "b", "a"), (1, "1", 1)]
    assert len({seed_for(*name) for name in names}) == len(names)


def test_a_seed_is_pinned_for_ever():
    # Runs that are under way must see the same numbers after an update.
    assert seed_for(0, "initial", "pos_embed") == 3178533566830626184


DRAWS = """
import json, torch
from paris.experts.seeding import generator_for
def draw(make, *size, **more): return make(*size, generator=generator_for(5, make.__name__), **more).tolist()
uniform, order = draw(torch.rand, 5000, dtype=torch.float32), draw(torch.randperm, 5000)
normal = draw(torch.randn, 5000, dtype=torch.float32)
scaled = torch.empty(5000, dtype=torch.float32).uniform_(-0.3, 0.3, generator=generator_for(5, "scaled")).tolist()
print(json.dumps([torch.backends.cpu.get_cpu_capability(), uniform, order, normal, scaled]))
"""


def drawn(capability):
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    done = subprocess.run(
        [sys.executable, "-c", DRAWS], env=environment, capture_output=True, check=True, timeout=DEADLINE_S
    )
    return json.loads(done.stdout)


def test_other_vector_instructions_change_normal_and_scaled_numbers_in_the_last_bits_and_no_others():
    plain_name, *plain = drawn("default")
    fast_name, *fast = drawn("avx2")
    if plain_name == fast_name:
        pytest.skip("this processor has one kind of instructions alone")
    assert plain[:2] == fast[:2]
    for some, others in zip(plain[2:], fast[2:], strict=True):
        assert (torch.tensor(some) - torch.tensor(others)).abs().max() <= 2e-6
