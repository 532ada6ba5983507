"""A look may raise or hang, and the others go on; findings fit any terminal, whatever strangers wrote into them."""

from __future__ import annotations

import json
import threading

import pytest
from deadlines import DEADLINE_S

from paris.node.doctor.finding import Finding, Level, fine, problem, warning
from paris.node.doctor.looks import Look, look_at, look_at_all
from paris.node.doctor.report import as_json_line, as_lines, summary
from paris.protocol.errors import NoPeersError


def test_what_a_look_raises_is_its_finding_with_the_next_step():
    def typed():
        yield fine("a", "seen before it failed, and left out")
        raise NoPeersError("No peer.", "Ask for others.")

    def unexpected():
        raise ZeroDivisionError("nobody thought of it")

    (finding,) = look_at(Look("peers", typed))
    assert finding == Finding("peers", Level.PROBLEM, "No peer.", "Ask for others.", "no-peers")
    (finding,) = look_at(Look("disk", unexpected))
    assert (finding.name, finding.level) == ("disk", Level.PROBLEM)
    assert "nobody thought of it" in finding.text


def test_a_look_that_hangs_holds_up_no_other():
    release = threading.Event()

    def hanging():
        release.wait(DEADLINE_S)
        return []

    looks = [Look("hub", hanging, limit_s=0.05), Look("disk", lambda: [fine("disk", "free")])]
    (late,), (seen,) = look_at_all(looks)
    release.set()
    assert (late.name, late.level) == ("hub", Level.PROBLEM)
    assert "Nothing was found out within" in late.text
    assert seen == fine("disk", "free")


@pytest.mark.parametrize("width", [40, 80])
def test_lines_fit_the_terminal_and_show_no_control_character(width):
    hostile = "evil \x1b[31mred\x07\nproblem  token: " + "x" * 100
    lines = as_lines(
        warning("peer /ip4/203.0.113.7/tcp/31337/p2p/12D3KooW" + "y" * 60, hostile, "do this " * 20), width
    )
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)
    assert not any(line.startswith("problem") for line in lines)
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["warning"]
    assert any(line.strip().startswith("to do: do this") for line in lines)


def test_without_a_terminal_a_finding_is_one_line_and_its_next_step_another():
    assert as_lines(fine("disk", "free " * 50), None) == [f"ok       disk: {('free ' * 50).strip()}"]
    assert as_lines(problem("hub", "No answer.", "Wait."), None) == [
        "problem  hub: No answer.",
        "         to do: Wait.",
    ]


def test_a_finding_of_an_error_shows_its_code():
    found = Finding("run", Level.PROBLEM, "No run.", "", "run-not-found")
    assert as_lines(found, None) == ["problem  run [run-not-found]: No run."]


def test_the_json_of_a_finding_has_the_fields_of_earlier_versions_too():
    found = json.loads(as_json_line(warning("clock", "2 s behind", "set it")))
    expected = {"check": "clock", "passed": True, "level": "warning", "text": "2 s behind", "next_step": "set it"}
    expected["error_code"] = ""
    assert found == expected
    assert json.loads(as_json_line(problem("a", "b", "c")))["passed"] is False


def test_the_last_line_counts():
    found = [fine("a", "b"), warning("c", "d", "e"), Finding("f", Level.PROBLEM, "g")]
    assert summary(found) == "Problems: 1, warnings: 1."
    assert summary(found[:1]) == "Nothing is wrong."
