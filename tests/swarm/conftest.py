"""The catalogue of attacks builds on the worlds of other tests."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / place) for place in ("swarm", "swarm/attacks", "coordinator/verify", "protocol")]
