"""Child processes are named by strings, which no linter follows: each must be a module that can be run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from paris.coordinator.children import Program


@pytest.mark.parametrize("program", Program)
def test_each_program_is_a_module_that_can_be_run(program: Program):
    spec = find_spec(program)
    assert spec is not None, f"no module {program.value}"
    if spec.submodule_search_locations is not None:
        spec = find_spec(f"{program}.__main__")
    assert spec is not None
    assert spec.origin is not None
    assert '__name__ == "__main__"' in Path(spec.origin).read_text("utf-8"), f"{program.value} runs nothing"
