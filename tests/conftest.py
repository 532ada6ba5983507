"""One thread a worker: two workers whose libraries each take both cores wait for each other more than they compute."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before anything imports torch; for the processes that tests start, too.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
