"""The names that both ends share fit what a release calls its files: neither package may import the other."""

from __future__ import annotations

from pathlib import Path

from paris.experts.release.layout import expert_path as released_path
from paris.protocol.hub_layout import expert_path


def test_a_registered_expert_has_the_path_that_a_release_gives_it():
    assert Path("folder", expert_path(3)) == released_path(Path("folder"), 3)
