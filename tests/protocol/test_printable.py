"""No escape sequence from the run reaches a terminal."""

from __future__ import annotations

import io
import logging

import pytest

from paris.coordinator import console
from paris.node.view import EventKind, sentence
from paris.node.view.views import PlainView
from paris.protocol.logs import TextFormatter
from paris.protocol.printable import on_one_line, printable

EVIL = "\x1b]0;owned\x07\x9b2J\r\u202egnp.exe"
SHOWN = "\\x1b]0;owned\\x07\\x9b2J\\r\\u202egnp.exe"


def test_control_characters_are_shown_and_other_texts_stay():
    assert printable(EVIL) == SHOWN
    assert printable("caf\u00e9\tin two\nlines \U0001f600") == "caf\u00e9\tin two\nlines \U0001f600"


@pytest.mark.parametrize("hidden", ["\u200b", "\ufeff", "\u00ad", "\ue000", "\udc80", "\U000e0041", "\u2028", "\u0378"])
def test_what_shows_nothing_is_shown_as_an_escape(hidden):
    assert printable(f"a{hidden}b") == f"a{ascii(hidden)[1:-1]}b"
    assert printable(f"a{hidden}b").isprintable()


def test_joined_emoji_words_and_wide_spaces_stay():
    for text in ("\U0001f469\u200d\U0001f4bb", "\u0645\u06cc\u200c\u062e", "10\u00a0\u20ac", "\u3000"):
        assert printable(text) == text


def test_a_value_in_a_sentence_breaks_no_line():
    assert on_one_line(f" two\n lines\t{EVIL} ") == f"two lines {SHOWN}"


def test_every_edge_to_a_terminal_shows_them(capsys):
    out = io.StringIO()
    PlainView(out).event(EventKind.NOTE, text=EVIL)
    assert SHOWN in out.getvalue()
    assert SHOWN in sentence(EventKind.ERROR, {"what": EVIL, "next_step": EVIL, "error_code": "peer"})
    console.say_problem(EVIL)
    assert capsys.readouterr().err == f"{SHOWN}\n"
    record = logging.LogRecord("paris.x", logging.INFO, "", 1, "%s", (EVIL,), None)
    assert TextFormatter("%(message)s").format(record) == SHOWN
