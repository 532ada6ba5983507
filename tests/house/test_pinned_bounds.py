"""A bound that strangers or settings are held to changes by decision, and not by accident."""

from __future__ import annotations

from pathlib import Path

import pytest
from pinned_bounds import MODULES, lines_of

PINNED = (Path(__file__).parent / "bounds.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", MODULES)
def test_the_bounds_of_a_module_are_those_that_were_decided(name: str):
    pinned = [line for line in PINNED if line.startswith(f"{name}.")]
    assert list(lines_of(name)) == pinned, "python tests/house/pinned_bounds.py > tests/house/bounds.txt"
