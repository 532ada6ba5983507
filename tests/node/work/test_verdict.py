"""A verdict in words."""

from __future__ import annotations

from paris.node.work.verdict import verdict_in_words
from paris.protocol.records import Rung, Verdict

ME = "a" * 64


def test_a_rejection_names_rung_figure_and_bound():
    rungs = (
        Rung(rung="structure", passed=True, figure=0.0, bound=0.0),
        Rung(rung="skill", passed=False, figure=1.25, bound=1.0, note="on held-out rows"),
    )
    verdict = Verdict(
        lease_id="0" * 32,
        task_id="expert-2",
        attempt=1,
        volunteer=ME,
        accepted=False,
        reason="Too little.",
        rungs=rungs,
    )
    expected = "expert-2: rejected at rung skill (1.25, the bound is 1). Too little. on held-out rows"
    assert verdict_in_words(verdict) == expected
