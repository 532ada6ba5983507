"""How long the coordinator's records live: the service seals them so, and the signer signs no longer ones.

A kind has one life, in a file too: the DHT keeps the record that expires later, so a copy of a longer life, which
anybody may put there, would keep out all that come after it.
"""

from __future__ import annotations

LIFE_S = 900.0
"""Life of most records; they are stored again at a third of it."""
RUN_LIFE_S = 7 * 86400.0
"""Of the run's description: by run.json nodes join while no coordinator answers."""


def life_s(kind: str) -> float:
    """The life of a record of a kind that the service seals, in seconds."""
    return RUN_LIFE_S if kind == "run" else LIFE_S
