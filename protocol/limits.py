"""Bounds that every peer enforces, in one place."""

from __future__ import annotations

MAX_CLUSTERS = 256
MAX_NUM_BUCKETS = 64
MAX_SUBMISSION_FILES = 8
MAX_RECORD_BYTES = 4096
MAX_CLOCK_SKEW_S = 3.0
"""hivemind refuses peers whose clock differs by more; the same bound holds for issued_at."""
