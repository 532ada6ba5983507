"""A router's training that kills its own process with SIGKILL after a step.

python killed_router.py TASK PATHS WORK STEP    the task and the shards' paths as JSON: training, then held-out clusters
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from paris.experts.data.cluster import ClusterData
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.training.router_training import RouterRows, RouterTask, train_router


def main() -> None:
    """Train until the step comes."""
    task, paths = RouterTask.model_validate_json(sys.argv[1]), json.loads(sys.argv[2])
    clusters = [ClusterData([Path(path) for path in own]) for own in paths]
    half, last = len(clusters) // 2, int(sys.argv[4])

    def kill(step: int, loss: float) -> None:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    rows = RouterRows(clusters[:half], clusters[half:])
    train_router(task, rows, load_codec(CodecConfig(), Path()), None, Path(sys.argv[3]), on_progress=kill)


if __name__ == "__main__":
    main()
