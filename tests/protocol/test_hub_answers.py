"""What is the Hub's answer, and what a login page's or proxy's."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paris.protocol.hub_answers import Answer, looks_like_page, may_be_page, plain_url, why_foreign

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


@pytest.mark.parametrize("start", [b"<!DOCTYPE html>", b"<html>", b"<head>", b"<meta x>", b"<script>", b"<body>"])
def test_a_page_begins_with_one_of_its_tags_after_blanks(start):
    assert looks_like_page(b"\xef\xbb\xbf \r\n" + start.upper())
    assert not looks_like_page(b"x" + start)


@pytest.mark.parametrize(
    ("start", "is_page"), [(b"<?xml?>", True), (b"<!-- x -->", True), (b"<svg>", False), (b"x", False)]
)
def test_html_after_a_comment_or_an_xml_declaration_is_a_page(start, is_page):
    assert looks_like_page(start + b"<html>") is is_page
    assert not looks_like_page(start)
    assert not looks_like_page(start + b" " * 1024 + b"<html>"), "only its start is read"


@pytest.mark.parametrize("ending", [".html", ".HTM", ".xhtml"])
def test_a_file_that_is_named_as_a_page_may_be_one(ending):
    assert may_be_page(f"https://hub/a/b{ending}?x=1#f")
    assert not may_be_page(f"https://hub/a{ending}/b?x={ending}")


@pytest.mark.parametrize(("status", "is_foreign"), [(299, True), (300, False), (399, False)])
def test_only_an_answer_that_is_a_success_must_be_json(status, is_foreign):
    assert bool(why_foreign(dataclasses.replace(JSON_ANSWER, status=status, body=b"x"))) is is_foreign


@pytest.mark.parametrize(("status", "is_foreign"), [(399, True), (400, False), (499, False), (500, False)])
def test_a_page_with_the_hubs_headers_is_its_own_where_it_names_an_error(status, is_foreign):
    assert bool(why_foreign(dataclasses.replace(JSON_ANSWER, status=status, content_type="text/html"))) is is_foreign


def test_an_upload_is_answered_in_json_too():
    lfs = dataclasses.replace(JSON_ANSWER, method="POST", asked="http://hub/org/model.git/info/lfs/objects/batch")
    assert why_foreign(dataclasses.replace(lfs, body=b"x", content_type="application/vnd.git-lfs+JSON"))
    assert why_foreign(dataclasses.replace(lfs, body=b"x", content_type="text/plain")) is None
    assert why_foreign(dataclasses.replace(JSON_ANSWER, asked="http://hub/org/model/config.json", body=b"x")) is None


def test_a_title_is_shown_to_a_length():
    page = dataclasses.replace(JSON_ANSWER, content_type="text/html", body=b"<TITLE lang=x>" + b"y" * 300 + b"</TITLE>")
    assert f'titled "{"y" * 80}".' in (why_foreign(page) or "")


def test_weights_and_tables_do_not_look_like_pages():
    assert not any(map(looks_like_page, (b"", b"PAR1", b"\x3e\0\0\0\0\0\0\0{", b'{"a": "<html>"}', b"<3 a caption")))
