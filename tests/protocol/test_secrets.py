"""Tokens never leave in messages, logs and tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from deadlines import DEADLINE_S

from paris.protocol.secrets import (
    REDACTED,
    TokenError,
    is_encrypted,
    is_loopback,
    keep_secret,
    redact,
    require_encrypted,
    require_token,
)

SECRET = "volunteer+geheim/1234"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"sent {SECRET}, refused", f"sent {REDACTED}, refused"),
        ("hf_abcdefghijklmnopqrstuvwxyz012345", REDACTED),
        ("paris_" + "0f" * 32, REDACTED),
        ("paris_admin_" + "0f" * 20, REDACTED),
        ("http://ada:p@ss@proxy:3128/x", f"http://{REDACTED}@proxy:3128/x"),
        ("authorization: Bearer abc.def-1", f"authorization: Bearer {REDACTED}"),
        ("http://ada:pass@proxy:3128/x", f"http://{REDACTED}@proxy:3128/x"),
        ("https://s3/a?b=1&X-Amz-Signature=0a1b&c=2", f"https://s3/a?b=1&X-Amz-Signature={REDACTED}&c=2"),
        ("https://cdn/a?Policy=eyJ_&Key-Pair-Id=K1&x=2", f"https://cdn/a?Policy={REDACTED}&Key-Pair-Id={REDACTED}&x=2"),
        ("https://hub/cb?a=1&access_token=abc.d", f"https://hub/cb?a=1&access_token={REDACTED}"),
        ("https://hub/cb#access_token=abc&id_token=d", f"https://hub/cb#access_token={REDACTED}&id_token={REDACTED}"),
        ("Authorization: Basic YWRhOnBhc3M=", f"Authorization: Basic {REDACTED}"),
        ("{'Proxy-Authorization': 'Basic YWRh'}", f"{{'Proxy-Authorization': 'Basic {REDACTED}'}}"),
        ("(b'authorization', b'Basic YWRh')", f"(b'authorization', b'Basic {REDACTED}')"),
        ("Basic settings of authorization", "Basic settings of authorization"),
        ("paris_node hf_hub_download http://hub/a@b", "paris_node hf_hub_download http://hub/a@b"),
    ],
)
def test_secrets_are_replaced_and_nothing_else(text, left):
    keep_secret(SECRET)
    keep_secret("x")  # too short to be told from words
    assert redact(text) == left


def test_redacted_json_is_still_json():
    value = {"a": 'Bearer abc"def', "b": 'https://u:p"@x', "c": "?token=1\\2"}
    assert set(json.loads(redact(json.dumps(value)))) == set(value)


@pytest.mark.parametrize(
    ("endpoint", "is_here"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("http://0.0.0.0:1", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1@example.org", False),
        ("not a url", False),
    ],
)
def test_loopback_is_told_from_what_looks_like_it(endpoint, is_here):
    assert is_loopback(endpoint) is is_here


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_and_tracebacks_of_a_process_have_no_secret(tmp_path, log_format):
    program = f"""
import logging, threading
from pathlib import Path
from paris.protocol.logs import log_to_file, start_logging
from paris.protocol.streams import protect_streams
from paris.protocol.secrets import keep_secret
protect_streams()
start_logging(2, {log_format!r})
log_to_file(Path({str(tmp_path / "x.log")!r}))
keep_secret({SECRET!r})
print("a library prints", {SECRET!r})
def fail():
    raise RuntimeError("header " + {SECRET!r})
try:
    fail()
except RuntimeError as error:
    logging.getLogger("paris.x").error("failed: %s", error, exc_info=True)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    written = ended.stdout + ended.stderr + (tmp_path / "x.log").read_text("utf-8")
    assert ended.returncode == 1
    assert written.count(REDACTED) >= 6
    # The program's text is quoted in no traceback: it comes from -c.
    assert SECRET not in written


@pytest.mark.parametrize(
    ("endpoint", "is_safe"),
    [
        ("https://hub.example", True),
        ("http://hub.example", False),
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("http://localhost", True),
        ("http://run.localhost", True),
        ("http://notlocalhost", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_a_token_goes_over_https_or_nowhere_else_than_this_machine(endpoint, is_safe):
    assert is_encrypted(endpoint) is is_safe
    if is_safe:
        require_encrypted(endpoint, "PARIS_HUB_TOKEN")
    else:
        with pytest.raises(TokenError, match=rf"The token in PARIS_HUB_TOKEN is not sent to {endpoint}: http"):
            require_encrypted(endpoint, "PARIS_HUB_TOKEN")


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("first_half\nsecond_half", "a line break"),
        ("first_half second_half", "a space"),
        ("first_h\u00e4lf_x", "ASCII"),
    ],
)
def test_a_token_that_is_none_is_named_without_its_value_and_kept_secret_in_all_its_parts(text, odd):
    with pytest.raises(TokenError, match=odd) as refused:
        require_token(f" {text}\n", "the file")
    for part in text.split():
        assert part not in str(refused.value)
        assert redact(f"<{part}>") == f"<{REDACTED}>"


def test_a_token_is_stripped_and_kept_secret():
    assert require_token("  token-of-this-test\n", "the file") == "token-of-this-test"
    assert redact("sent token-of-this-test") == f"sent {REDACTED}"


def test_short_values_are_no_secrets():
    for value in ("1234567", None):
        keep_secret(value)
    keep_secret("12345678")
    assert redact("1234567 12345678") == f"1234567 {REDACTED}"
