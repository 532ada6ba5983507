"""One served page for all tests that only read it, and one of a test's own."""

from __future__ import annotations

import pytest
from own_page_world import served


@pytest.fixture(scope="package")
def shared_page(tmp_path_factory):
    with served(tmp_path_factory.mktemp("shared")) as world:
        world.enter()
        yield world


@pytest.fixture
def page(tmp_path):
    with served(tmp_path) as world:
        world.enter()
        yield world
