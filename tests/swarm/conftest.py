"""Long-running commands of a module; and the worlds of other tests, which the catalogue of attacks builds on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PLACES = ("swarm", "swarm/attacks", "swarm/faults", "node", "coordinator", "coordinator/verify", "protocol")
sys.path += [str(TESTS / place) for place in PLACES]

from swarm import Process  # noqa: E402 - found by the path above


@pytest.fixture(scope="module")
def crew(folder):
    """Starts long-running commands in the module's folder, and ends them also after a failure."""
    started: list[Process] = []

    def start(name: str, *arguments: str) -> Process:
        started.append(Process(folder, name, *arguments))
        return started[-1]

    start.started = started
    yield start
    for process in started:
        process.stop()
