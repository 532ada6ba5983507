"""The catalogue builds on the small run of the verification tests."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
sys.path += [str(TESTS / "swarm"), str(TESTS / "coordinator" / "verify"), str(TESTS / "protocol")]
