"""How long the coordinator's records live: the service seals them so, and the signer signs no longer ones."""

from __future__ import annotations

LIFE_S = 900.0
"""Life of a coordinator's record in the DHT; it is stored again at a third of it."""
RUN_JSON_LIFE_S = 7 * 86400.0
"""Of the run's description in run.json, by which nodes join while no coordinator answers."""
VERDICT_LIFE_S = 30 * 86400.0
"""Of a verdict in the comment that closes a pull request."""


def longest_life_s(kind: str) -> float:
    """The longest life of a record of a kind that the service seals, in seconds."""
    return {"run": RUN_JSON_LIFE_S, "verdict": VERDICT_LIFE_S}.get(kind, LIFE_S)
