"""One thread a worker, random numbers that do not depend on the tests before, and the mark of those that start p2pd."""

import os
import sys

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers whose libraries each take both cores wait for each other more than they compute. Before anything
    # imports torch; for the processes that tests start, too.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(config, items):
    """Mark the tests that start p2pd, where that is asked for; where there is none, skip them."""
    from paris.protocol.dht.installed import can_start_daemon

    is_there = can_start_daemon()
    if is_there and "daemon" not in config.option.markexpr:
        return
    from daemon_marks import starts_daemon

    missing = pytest.mark.skip(reason="it starts p2pd, and hivemind has none for this system")
    for item in items:
        if isinstance(item, pytest.Function) and starts_daemon(item.path, item.originalname):
            item.add_marker("daemon")
            if not is_there:
                item.add_marker(missing)


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """Seed torch's global generator, where torch is imported: a test's inputs are the same in any order of tests."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
