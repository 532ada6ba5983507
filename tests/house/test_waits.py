"""Tests wait for events, and as long as a busy machine may need: no limit of their own is below DEADLINE_S."""

from __future__ import annotations

import re
from pathlib import Path

from deadlines import DEADLINE_S

TESTS = Path(__file__).resolve().parents[1]
LIMIT = re.compile(r"monotonic\(\) \+ (\d+)|\.join\((\d+)\)|\btimeout(?:_s)?=(\d+)")
SHORTEST_S = 20
"""Shorter limits are those of the product under test, such as an HTTP client's."""


def limits_of(text: str) -> list[int]:
    """The limits in seconds that a test's source names as numbers."""
    return [int(next(filter(None, match.groups()))) for match in LIMIT.finditer(text)]


def test_limits_are_found():
    assert limits_of("x = time.monotonic() + 60\nt.join(30)\nrun(a, timeout=120)\nf(timeout_s=5)") == [60, 30, 120, 5]
    assert limits_of("time.monotonic() + DEADLINE_S; t.join(DEADLINE_S)") == []


def test_no_test_gives_up_before_the_deadline():
    short = [
        f"{path.relative_to(TESTS)}: {limit}"
        for path in sorted(TESTS.rglob("*.py"))
        if path != Path(__file__)
        for limit in limits_of(path.read_text("utf-8"))
        if SHORTEST_S <= limit < DEADLINE_S
    ]
    assert short == []


def test_no_test_sleeps():
    sleeping = re.compile(r"^\s*(time\.|asyncio\.|await asyncio\.)?sleep\(", re.MULTILINE)
    found = [path.name for path in TESTS.rglob("*.py") if sleeping.search(path.read_text("utf-8"))]
    assert found == []
