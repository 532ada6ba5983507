"""Who takes part in a simulated run: arrival, departure, hours, speed, honesty.

From measurements of SETI@home's hosts:

- A host's client runs 81 % of the time, and may compute 84 % of that: Anderson and Fedak, "The computational and
  storage potential of volunteer computing", CCGrid 2006. So a volunteer is on for 68 % of the time, on the average.
- Hosts differ in their times of availability, which follow different distributions: Javadi, Kondo, Vincent and
  Anderson, "Discovering statistical models of availability in large distributed systems", TPDS 2011. Here each
  volunteer has a share of its own, and the lengths of its sessions are Weibull with a heavy tail.
- Speeds are log-normal: Heien, Kondo and Anderson, "A correlated resource model of Internet end hosts", TPDS 2012.

Assumed, as no figure fits volunteers who train models: the constants below that say so.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

HOUR_S, DAY_S = 3600.0, 86400.0
ON_SHARE = 0.81 * 0.84
_CONCENTRATION = 4.0
"""Of the beta distribution of volunteers' shares; assumed."""
_SESSION_S, _SESSION_SHAPE = 6 * HOUR_S, 0.7
"""Mean length of a session, and its Weibull shape; assumed."""
_STAY_S, _STAY_SHAPE = 60 * DAY_S, 0.6
"""Mean time from joining to leaving, and its Weibull shape: many leave early; assumed."""
_SPEED_SIGMA = 0.5
"""Of the logarithm of the speed; assumed."""
_GOODBYE_SHARE = 0.5
"""Of those who leave: so many tell, the others vanish; assumed."""
_COMES_LATER_S = DAY_S
"""Mean time until somebody comes for one who left; assumed."""


@dataclass(frozen=True)
class Volunteer:
    """One volunteer."""

    number: int
    arrives_at: float
    """Seconds from the start of the run."""
    leaves_at: float
    says_goodbye: bool
    speed: float
    """In units of the usual machine."""
    on_share: float
    is_cheat: bool

    @property
    def key(self) -> str:
        """Its public key, as records have it."""
        return f"{self.number + 1:064x}"


def population(count: int, malice: float, until_s: float, seed: int) -> list[Volunteer]:
    """The volunteers of a run in the order of their arrival; about `count` at a time.

    Args:
        count: Volunteers at the start; for each that leaves another one comes.
        malice: Share of cheats, 0 to 1.
        until_s: The last moment at which somebody comes, seconds.
        seed: Equal seeds give equal volunteers.
    """
    randomly, arrivals, found = random.Random(seed), [0.0] * count, list[Volunteer]()
    while arrivals:
        arrives_at = arrivals.pop()
        one = _volunteer(len(found), arrives_at, malice, randomly)
        found.append(one)
        successor_at = one.leaves_at + randomly.expovariate(1 / _COMES_LATER_S)
        if successor_at < until_s:
            arrivals.append(successor_at)
    return sorted(found, key=lambda one: one.arrives_at)


def sessions(one: Volunteer, seed: int) -> Iterator[tuple[float, float]]:
    """The times at which a volunteer is on, as begin and end in seconds, until it leaves.

    Args:
        one: The volunteer.
        seed: Of the run.
    """
    randomly = random.Random(f"{seed} {one.number}")
    off_s = _SESSION_S * (1 - one.on_share) / one.on_share
    at = one.arrives_at
    while at < one.leaves_at:
        end = at + weibull(_SESSION_S, _SESSION_SHAPE, randomly)
        yield at, min(end, one.leaves_at)
        at = end + weibull(off_s, _SESSION_SHAPE, randomly)


def weibull(mean: float, shape: float, randomly: random.Random) -> float:
    """A Weibull number.

    Args:
        mean: Of the distribution.
        shape: Below 1: a heavy tail.
        randomly: Source of randomness.
    """
    return randomly.weibullvariate(mean / math.gamma(1 + 1 / shape), shape)


def _volunteer(number: int, arrives_at: float, malice: float, randomly: random.Random) -> Volunteer:
    on_share = randomly.betavariate(_CONCENTRATION * ON_SHARE, _CONCENTRATION * (1 - ON_SHARE))
    return Volunteer(
        number=number,
        arrives_at=arrives_at,
        leaves_at=arrives_at + weibull(_STAY_S, _STAY_SHAPE, randomly),
        says_goodbye=randomly.random() < _GOODBYE_SHARE,
        speed=randomly.lognormvariate(0.0, _SPEED_SIGMA),
        on_share=min(0.98, max(0.1, on_share)),
        is_cheat=randomly.random() < malice,
    )
