"""The sample unit of the node's tests is a seed here too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "node"))
