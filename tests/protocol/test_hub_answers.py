"""What is the Hub's answer, and what a login page's or proxy's."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paris.protocol.hub_answers import Answer, looks_like_page, plain_url, why_foreign

JOINERS = "\u200c\u200d"
API, FILE = "http://hub/api/models/org/model", "http://hub/org/model/resolve/main/weights.safetensors"
JSON_ANSWER = Answer("GET", API, API, 200, "application/json; charset=utf-8", True, b'{"id": "org/model"}')
FILE_ANSWER = Answer("GET", FILE, FILE, 206, "application/octet-stream", False, None)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (JSON_ANSWER, {}),
        (JSON_ANSWER, {"status": 404, "body": b"<html>no such model</html>", "content_type": "text/html"}),
        (JSON_ANSWER, {"status": 401, "has_hub_headers": False, "body": b"{}"}),
        (JSON_ANSWER, {"status": 503, "content_type": "text/html", "has_hub_headers": False, "body": b"<html>"}),
        (JSON_ANSWER, {"method": "HEAD", "body": b""}),
        (JSON_ANSWER, {"method": "DELETE", "content_type": "text/plain", "body": b"OK"}),
        (JSON_ANSWER, {"asked": "http://hub/api/resolve-cache/models/org/model/vocab.txt", "body": b"a b"}),
        (FILE_ANSWER, {}),
        (FILE_ANSWER, {"body": bytes(100)}),
        (FILE_ANSWER, {"asked": "http://hub/org/model/resolve/main/page.html", "content_type": "text/html"}),
        (FILE_ANSWER, {"status": 416}),
    ],
)
def test_the_hubs_answers_are_taken(base, changes):
    assert why_foreign(dataclasses.replace(base, **changes)) is None


@pytest.mark.parametrize(
    ("base", "changes", "named"),
    [
        (JSON_ANSWER, {"content_type": "text/html", "body": b"<title>Log in</title>"}, 'titled "Log in"'),
        (JSON_ANSWER, {"content_type": "", "body": b"\xef\xbb\xbf \n<!DOCTYPE HTML>"}, "a web page"),
        (JSON_ANSWER, {"body": b'{"id": "org/mo'}, "14 bytes that are not JSON"),
        (JSON_ANSWER, {"body": b""}, "0 bytes that are not JSON"),
        (JSON_ANSWER, {"content_type": "text/plain", "body": b"Please log in"}, "not JSON"),
        (JSON_ANSWER, {"body": b"[" * 100_000}, "not JSON"),
        (JSON_ANSWER, {"status": 403, "content_type": "text/html", "has_hub_headers": False}, "a web page"),
        (JSON_ANSWER, {"status": 407}, "proxy demands a user name"),
        (JSON_ANSWER, {"status": 511}, "network demands a login"),
        (FILE_ANSWER, {"status": 200, "content_type": "Text/HTML;charset=x"}, "a web page"),
        (
            FILE_ANSWER,
            {"content_type": "text/html", "answered": "http://u:p@10.0.0.1/in?t=s"},
            "by http://10.0.0.1/in (",
        ),
        (FILE_ANSWER, {"body": b'<?xml version="1.0"?><html>'}, "a web page"),
    ],
)
def test_others_answers_are_named(base, changes, named):
    reason = why_foreign(dataclasses.replace(base, **changes))
    assert reason.startswith("A login page or proxy answered instead of the Hub")
    assert named in reason


@given(body=st.binary(max_size=300), kind=st.sampled_from(["", "text/html", "application/json", "x\x1b[0m"]))
def test_any_body_gives_one_printable_line_or_none(body, kind):
    for base in (JSON_ANSWER, FILE_ANSWER):
        reason = why_foreign(dataclasses.replace(base, content_type=kind, body=b"<title>" + body + b"</title>"))
        assert reason is None or all(letter.isprintable() or letter in JOINERS for letter in reason)


def test_a_plain_url_has_no_password_and_no_signature():
    assert plain_url("https://user:secret@hub:8443/a/b?X-Amz-Signature=secret#f") == "https://hub:8443/a/b"
    assert plain_url("https://hub/a\x1b[2J\u2028b") == "https://hub/a\\x1b[2J\\u2028b", (
        "as everywhere, escapes are shown"
    )


def test_weights_and_tables_do_not_look_like_pages():
    assert not any(map(looks_like_page, (b"", b"PAR1", b"\x3e\0\0\0\0\0\0\0{", b'{"a": "<html>"}', b"<3 a caption")))
