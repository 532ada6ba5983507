"""The groups of modules that are scored, and the tests that concern each group.

A group's tests are quick, and run in one process; what they start in other processes is changed there, too. Which of
them run against a mutant is measured: those that call the changed function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOUNDS = "tests/house/test_pinned_bounds.py"
"""Concerns changes outside of functions: it calls none."""


@dataclass(frozen=True)
class Group:
    """Modules that are scored together."""

    name: str
    modules: tuple[str, ...]
    """Patterns from the root of the repository."""
    tests: tuple[str, ...]
    """Patterns, too."""

    def paths(self) -> list[str]:
        """The modules' files, sorted."""
        return list(_matching(self.modules))

    def test_paths(self) -> list[str]:
        """Files and folders of tests, sorted."""
        return list(_matching(self.tests))


def _matching(patterns: tuple[str, ...]) -> Iterator[str]:
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    yield from sorted(str(path.relative_to(ROOT)) for path in found)


def _files(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names)


GROUPS: tuple[Group, ...] = (
    Group(
        "protocol",
        (
            *_files("protocol", "[acefkmprtv]*", "clock", "draws", "hub_answers", "hub_redirects", "invites", "leases"),
            *_files("protocol", "limits", "locks", "s[ehi]*", "want_work"),
            *_files("protocol/dht", "addresses", "pinned", "storage"),
        ),
        (
            *_files("tests/protocol", "test_protocol_*", "test_[acls]*", "test_draws", "test_hub_*", "test_printable"),
            *_files("tests/protocol", "test_private_files", "test_dht_storage"),
            *_files("tests/node", "swarm/test_invite", "swarm/test_want_work"),
            BOUNDS,
        ),
    ),
    Group(
        "coordinator/decisions",
        ("coordinator/decisions/*.py", "coordinator/state/draft.py"),
        ("tests/coordinator/decisions", "tests/coordinator/state", BOUNDS),
    ),
    Group(
        "coordinator/verify",
        (
            *_files("coordinator/verify", "bounds", "claims", "curves", "envelope_rung", "header", "leg_chain"),
            *_files(
                "coordinator/verify",
                "reference_file",
                "report",
                "spectra",
                "statistics",
                "structure_rung",
                "yardsticks",
            ),
        ),
        (
            *_files("tests/coordinator/verify", "test_verify_envelope", "test_verify_header", "test_verify_report"),
            *_files("tests/coordinator/verify", "test_verify_st*"),
            BOUNDS,
        ),
    ),
    Group(
        "node",
        (
            *_files("node", "retry", "fetching/*", "machine/[cu]*", "machine/garbage", "machine/home", "swarm/invite"),
            *_files("node", "sharing/inventory", "sharing/members", "sharing/parts", "sharing/trust"),
            *_files("node", "swarm/held_leases", "swarm/want_work", "work/given_up", "work/verdict"),
        ),
        (
            *_files("tests/node", "test_retry", "fetching/*", "machine/*", "sharing/test_sharing_rules", "swarm/*"),
            *_files("tests/node", "work/test_given_up", "work/test_hand_in", "work/test_head", "work/test_verdict"),
            BOUNDS,
        ),
    ),
    Group(
        "the Hub's accounts and LFS",
        (
            "coordinator/hub/accounts/*.py",
            *_files("coordinator/hub", "access", "bodies", "routing", "api/lfs"),
        ),
        _files(
            "tests/coordinator/hub", "test_hub_rights", "test_hub_uploads", "test_hub_accounts", "test_hub_refusals"
        ),
    ),
)
