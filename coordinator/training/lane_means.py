"""The child process that computes the mean of lanes' states: python -m paris.coordinator.training.lane_means FOLDER N.

FOLDER/lane-0/weights.safetensors, ema.safetensors, optimizer.safetensors  ...  lane-(N-1)/...
FOLDER/mean/...                                                                 the same names, written
"""

from __future__ import annotations

import sys
from pathlib import Path

from paris.coordinator.console import fail_worker
from paris.experts.weights.averaging import average_files
from paris.protocol.hub_layout import STATE_FILES


def average_states(folder: Path, num_lanes: int) -> None:
    """Write the mean of each file of the lanes' states, tensor by tensor.

    Args:
        folder: With the states, as above.
        num_lanes: How many; their order decides rounding.

    Raises:
        CheckpointError: Two states are not of one model, or have moments in 8 bits.
        DiskFullError: No space.
    """
    for name in STATE_FILES:
        average_files([folder / f"lane-{lane}" / name for lane in range(num_lanes)], folder / "mean" / name)


if __name__ == "__main__":
    fail_worker(lambda: average_states(Path(sys.argv[1]), int(sys.argv[2])))
