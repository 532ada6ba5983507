"""pytest puts a conftest's folder on the import path: the rooms below import the helper modules of this one."""

from __future__ import annotations

from itertools import count

import pytest
from postgres_server import started_server, why_not

from paris.coordinator.run.database import PostgresSchema

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server."""
    if reason := why_not():
        pytest.skip(reason)
    with started_server() as server:
        yield server


@pytest.fixture
def schema(postgres):
    """The place of a state in it, of which nothing was made yet."""
    return PostgresSchema(postgres.url, f"test-{next(_numbers)}")


@pytest.fixture(params=["sqlite", "postgres"])
def location(request, tmp_path):
    """The place of a state, of which nothing was made yet."""
    return tmp_path / "state.sqlite" if request.param == "sqlite" else request.getfixturevalue("schema")
