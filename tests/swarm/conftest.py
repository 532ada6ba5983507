"""The whole run meets the catalogue of attacks."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE / "attacks"), str(HERE.parent / "protocol")]
