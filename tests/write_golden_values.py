"""Writes tests/golden/ again: the demo's data, short trainings, pictures of a release.

Run it (`python tests/write_golden_values.py [demo_data] [training] [pictures]`) only after a deliberate change of what
the code computes, or on a machine where the bits should be compared.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "experts"), str(HERE / "coordinator" / "prepare")]

from golden_data import golden_data  # noqa: E402 - found by the path above
from golden_release import golden_pictures  # noqa: E402
from golden_training import golden_training  # noqa: E402
from golden_values import write  # noqa: E402

MAKERS = {"demo_data": golden_data, "training": golden_training, "pictures": golden_pictures}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        with tempfile.TemporaryDirectory() as folder:
            print(write(name, MAKERS[name](Path(folder))))
