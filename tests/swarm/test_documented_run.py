"""The run of the README, by its own command lines, in their order."""

from __future__ import annotations

import re
import shlex
import sys

import pytest
from deadlines import DEADLINE_S
from swarm import TINY, command, status, wait_until

sys.path.append(str(TINY.parents[1] / "house"))
from command_lines import lines_in
from documents import ROOT, SHELL, blocks

pytestmark = [pytest.mark.slow, pytest.mark.long]
RUN = "runs/emoji"
LINES = [
    re.sub(r"\s+#.*", "", line)
    for block in blocks(ROOT / "README.md")
    if block.language in SHELL and RUN in block.text
    for line in lines_in(block.text)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documented-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def test_the_lines_of_the_readme_make_a_model(folder, crew):
    """All as written, but for the recipe: that of the README trains for most of an hour on two cores."""
    assert [line.split()[1] for line in LINES[:6]] == ["init", "prepare", "publish-tasks", "serve", "join", "join"]
    log = folder
    for number, line in enumerate(LINES):
        words = shlex.split(line)
        if words[1] in ("serve", "join"):
            started = crew(f"{number}-{words[1]}", *words)
            log = started.stderr if words[1] == "serve" else log
            wait_until((folder / RUN / "run.json").is_file, DEADLINE_S, "run.json")
            continue
        if words[1] == "status":
            for event in ("registered expert-0", "registered expert-1"):
                wait_until(lambda event=event, log=log: event in log.read_text("utf-8"), DEADLINE_S, event)
            wait_until(lambda: status(folder / RUN)["router"]["phase"] == "done", DEADLINE_S, "the router is trained")
        done = command(*words, *(["--recipe", str(TINY)] if words[1] == "init" else []))
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert (folder / "sample.png").is_file()
    assert (folder / RUN / "report" / "samples.png").is_file()
