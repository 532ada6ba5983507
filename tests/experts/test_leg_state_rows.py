"""The result of the benchmark of leg states, where some of its forms are measured anew."""

from __future__ import annotations

import json

from benchmarks.leg_state import with_kept

EARLIER = {
    "date": "2026-01-31",
    "machine": {"processor": "one"},
    "every": 50,
    "rows": [{"form": "compact", "n": 1}, {"form": "exact", "n": 2}],
}


def test_rows_of_forms_that_were_measured_alike_are_kept_with_their_day_and_processor(tmp_path):
    file, anew = tmp_path / "leg_state.json", [{"form": "exact", "n": 3}]
    assert with_kept(anew, file, {"every": 50}) == anew
    file.write_text(json.dumps(EARLIER))
    kept = {"on": "2026-01-31", "by": "one", "form": "compact", "n": 1}
    assert with_kept(anew, file, {"every": 50}) == [*anew, kept]
    assert with_kept(anew, file, {"every": 25}) == anew, "measured in another way"
    file.write_text(json.dumps({**EARLIER, "date": "2026-02-01", "rows": [kept]}))
    assert with_kept(anew, file, {"every": 50}) == [*anew, kept], "the first day stays"
