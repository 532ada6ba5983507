"""Limits that every peer enforces."""

from __future__ import annotations

MAX_CLUSTERS = 1024
MAX_NUM_BUCKETS = 64
MAX_LANES = 8
"""Volunteers that train one expert side by side: a task's record names the state of each."""
MAX_SMALLER_SIZES = 3
"""Sizes of experts beside the run's model: its description must fit into a record."""
MAX_ATTEMPT = 10**6
"""Of a task: its fencing token grows no further."""
MAX_WANT_WORK_BITS = 26
"""A minute or two of one core; a run cannot ask more of a volunteer."""
MAX_INVITE_USES = 10_000
MAX_SUBMISSION_FILES = 8
MAX_RECORD_BYTES = 4096
MAX_CLOCK_SKEW_S = 3.0
"""hivemind refuses peers with a larger clock difference; the same limit applies to `issued_at`."""
MAX_SUBKEY_CHARS = 128
MAX_DICTIONARY_BYTES = 3 * 2**20
"""All records under one DHT key. Above 4 MiB, the daemon's message limit, the key would become unreadable."""
MAX_SUBKEYS_PER_SIGNER = 64
"""Under one DHT key, so that one volunteer cannot fill a bucket with invented lease ids."""
