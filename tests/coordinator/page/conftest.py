"""One unpacked run for all tests that only read it."""

from __future__ import annotations

import pytest
from page_world import served, unpacked


@pytest.fixture(scope="session")
def kept_run(tmp_path_factory):
    return unpacked(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def site(kept_run):
    with served(kept_run) as client:
        yield client


@pytest.fixture
def run(tmp_path):
    """A run of the test's own."""
    return unpacked(tmp_path)
