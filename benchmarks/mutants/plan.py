"""The groups of modules that are scored, and the tests that concern each group.

A group's tests are quick, and run in one process; what they start in other processes is changed there, too. Which of
them run against a mutant is measured: those that call the changed function.
"""

from __future__ import annotations

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
    without: tuple[str, ...] = ()
    """Files of either that are left out: modules that hold other processes together, tests that take minutes."""

    def paths(self) -> list[str]:
        """The modules' files, sorted."""
        return self._matching(self.modules)

    def test_paths(self) -> list[str]:
        """Files and folders of tests, sorted."""
        return self._matching(self.tests)

    def _matching(self, patterns: tuple[str, ...]) -> list[str]:
        found = {str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)}
        return sorted(found.difference(self.without))


def _files(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names)


GROUPS: tuple[Group, ...] = (
    Group(
        "protocol",
        ("protocol/*.py", *_files("protocol/dht", "pinned")),
        ("tests/protocol/test_*.py", *_files("tests/node/swarm", "test_invite", "test_want_work"), BOUNDS),
        (
            *_files("protocol", "hub_layout", "hub_session", "lifeline", "logs", "run_peer", "streams"),
            *_files("tests/protocol", "test_dht_failures", "test_dht_peer", "test_eclipse"),
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
            *_files("coordinator/verify", "reference_file", "report", "spectra", "statistics", "structure_rung"),
            *_files("coordinator/verify", "yardsticks"),
        ),
        (
            *_files("tests/coordinator/verify", "test_verify_envelope", "test_verify_header", "test_verify_report"),
            *_files("tests/coordinator/verify", "test_verify_standards", "test_verify_statistics"),
            *_files("tests/coordinator/verify", "test_verify_steps", "test_verify_structure", "test_verify_yardsticks"),
            BOUNDS,
        ),
    ),
    Group(
        "node",
        (
            *_files("node", "retry", "fetching/*", "swarm/held_leases", "swarm/invite", "swarm/want_work"),
            *_files("node/machine", "config", "credits", "garbage", "home", "unit", "unit_formats"),
            *_files("node/sharing", "inventory", "members", "parts", "trust"),
            *_files("node/work", "given_up", "verdict"),
        ),
        (
            *_files("tests/node", "test_retry", "fetching/*", "machine/*", "sharing/test_sharing_rules", "swarm/*"),
            *_files("tests/node/work", "test_given_up", "test_hand_in", "test_head", "test_verdict"),
            BOUNDS,
        ),
    ),
    Group(
        "the Hub's accounts and LFS",
        ("coordinator/hub/accounts/*.py", *_files("coordinator/hub", "access", "bodies", "routing", "api/lfs")),
        (
            *_files("tests/coordinator/hub", "test_hub_rights", "test_hub_uploads"),
            *_files("tests/coordinator/hub", "test_hub_accounts", "test_hub_refusals"),
        ),
    ),
)
