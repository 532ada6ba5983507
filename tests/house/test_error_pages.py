"""Every error has an error code, every code a page, and both programs show the code."""

from __future__ import annotations

import json
import re

import pytest
from error_pages import END, FOLDER, INDEX, NOT_AT_A_COMMAND_LINE, by_code, head, index, kinds
from typer.testing import CliRunner

from paris.coordinator.cli.app import app as organiser
from paris.coordinator.console import fail_clearly, set_up_terminal
from paris.coordinator.errors import HubError, RunDirError
from paris.experts.errors import CheckpointError
from paris.experts.files import DiskFullError
from paris.node.cli import app as volunteer
from paris.node.errors import ResolveError, SettingsError, TransientHubError, explain

PAGES = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.md") if path.name != INDEX}


def test_every_error_class_has_a_code_of_its_own():
    assert {kind.name for kind in kinds() if kind.error_code is None} == set(NOT_AT_A_COMMAND_LINE)
    assert {code: {kind.name for kind in of} for code, of in by_code().items() if len(of) > 1} == {
        "disk-full": {"DiskFullError"}  # a class on each side; the remedy is the same
    }
    assert [code for code in by_code() if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)] == []


def test_the_classes_read_from_the_text_are_those_that_python_has():
    named = {(kind.name, kind.exit_code): kind.error_code for kind in kinds()}
    for real in (HubError, RunDirError, CheckpointError, DiskFullError, ResolveError, SettingsError, TransientHubError):
        assert named[real.__name__, real.exit_code] == real.error_code


def test_every_code_has_a_page_and_every_page_a_code():
    assert set(PAGES) == set(by_code())


def test_pages_and_their_list_say_what_the_code_says():
    """After a change of an error class: `python tests/house/error_pages.py`."""
    assert [code for code, text in PAGES.items() if text.partition(END)[0] + f"{END}\n" != head(code)] == []
    assert (FOLDER / INDEX).read_text("utf-8") == index()


def test_every_page_names_causes_and_what_to_do():
    form = re.compile(r"\n\n## Common causes\n\n(- .+\n(  .+\n)*)+\n## What to do\n\n\S[\s\S]+\n")
    assert [code for code, text in PAGES.items() if not form.fullmatch(text.partition(END)[2])] == []


@pytest.fixture
def plain_terminal():
    yield
    set_up_terminal(quiet=False, log_format="text")


@pytest.mark.usefixtures("plain_terminal")
def test_paris_coord_shows_the_code_in_its_message_and_as_a_field(tmp_path, capsys):
    for options in ([], ["--log-format", "json"]):
        with pytest.raises(SystemExit) as ended:
            fail_clearly(organiser, [*options, "status", str(tmp_path / "none")])
        assert ended.value.code == RunDirError.exit_code
        said = capsys.readouterr().err
        if options:
            line = json.loads(said)
            assert (line["error_code"], line["exit_code"]) == ("run-directory", RunDirError.exit_code)
            said = line["message"]
        assert said.startswith("Error [run-directory]: ")


def test_paris_node_shows_the_code_in_its_message_and_as_a_field(tmp_path):
    for options in ([], ["--json"]):
        line = ["join", "no-such-run", "--home", str(tmp_path / "home"), *options]
        done = CliRunner().invoke(volunteer, line)
        assert done.exit_code == ResolveError.exit_code
        if options:
            assert json.loads(done.stdout.splitlines()[-1])["error_code"] == "run-not-found"
        else:
            assert "Error [run-not-found]: " in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), "stopped"),
        (OSError(28, "No space left on device"), "disk-full"),
        (MemoryError(), "task-too-big"),
        (TimeoutError(), "no-answer"),
        (PermissionError(13, "Permission denied"), "system"),
        (ZeroDivisionError(), "unexpected"),
        (CheckpointError("It ends early."), "checkpoint"),
    ],
)
def test_errors_from_elsewhere_have_a_code_too(error, code):
    assert explain(error).error_code == code
    assert code in PAGES
