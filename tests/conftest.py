"""One thread a worker, and random numbers that do not depend on the tests before."""

import os
import sys

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers whose libraries each take both cores wait for each other more than they compute. Before anything
    # imports torch; for the processes that tests start, too.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """Seed torch's global generator, where torch is imported: a test's inputs are the same in any order of tests."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
