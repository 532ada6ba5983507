"""A stranger's run.json names a Hub: what it gets from a volunteer who has a token."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from deadlines import DEADLINE_S

TOKEN = "hf_ofthevolunteer0123456789abcdef"


@pytest.fixture
def doctor(tmp_path, make_spec, file_hub):
    """Runs `paris-node doctor` on a run whose Hub is `file_hub`, which records all tokens that it gets."""
    (tmp_path / "run.json").write_bytes(make_spec(hub_endpoint=file_hub.endpoint).data)

    def doctor(**environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "paris.node.cli",
                "doctor",
                str(tmp_path / "run.json"),
                "--home",
                str(tmp_path / "h"),
            ],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env={**os.environ, **environ},
            check=False,
        )

    return doctor


def test_the_token_for_the_public_hub_is_not_sent_to_a_strangers(doctor, file_hub):
    result = doctor(PARIS_HUB_TOKEN=TOKEN, HF_TOKEN=TOKEN)
    assert file_hub.tokens, result.stdout + result.stderr
    assert not any(token and TOKEN in token for token in file_hub.tokens)
    assert TOKEN not in result.stdout + result.stderr


def test_it_is_sent_to_the_hub_that_the_volunteer_names(doctor, file_hub):
    doctor(PARIS_HUB_TOKEN=TOKEN, PARIS_NODE_HUB_TOKEN_ENDPOINT=file_hub.endpoint)
    assert f"Bearer {TOKEN}" in file_hub.tokens


def test_a_token_with_a_line_break_is_neither_sent_nor_printed(doctor, file_hub):
    result = doctor(PARIS_HUB_TOKEN=f"{TOKEN}\n{TOKEN}", PARIS_NODE_HUB_TOKEN_ENDPOINT=file_hub.endpoint)
    assert result.returncode == 1
    assert "The token in PARIS_HUB_TOKEN has a line break.\n         to do: Copy the token again" in result.stdout
    assert TOKEN not in result.stdout + result.stderr
    assert not any(file_hub.tokens)
