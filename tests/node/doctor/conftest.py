"""Fixtures of the doctor's tests."""

from __future__ import annotations

import pytest

from paris.node.doctor.known import Known
from paris.node.machine.home import Home


@pytest.fixture
def known(tmp_path):
    """What is known of a machine before the first look, with a home that does not exist yet."""
    return Known(None, Home(tmp_path / "home"), None, {"device": "cpu"})
