"""Every shell line of the documents, and where it is run.

Pages of errors are left out: their commands are those of the guides, and are parsed by `test_docs.py`.
The run of the README runs as it is written, too: `swarm/test_documented_run.py`, in `make test-long`.
"""

from __future__ import annotations

import re

from documents import ROOT, SHELL, blocks, markdown_files

IN_THE_WORLD = (
    "paris-coord allow|ban|invite|invites|leaderboard|pause|recheck|recipes|revoke|roll-back|sample|status",
    "paris-coord clusters|dropped|plan|publish-tasks|release|unpause|unregister|withdraw-invite",
    "paris-node credits|gc|identity|log|status",
)
"""Run by `coordinator/test_documented_commands.py`, in order, in one run directory."""
ELSEWHERE = {
    r"paris-coord plan .*--measure": "coordinator/planning/test_plan_command.py",
    r"paris-coord demo --data": "swarm/test_own_demo.py",
    r"paris-coord demo --(quick|overwrite)": "swarm/test_demo.py",
    r"paris-coord init .*--data": "coordinator/proposal/test_init_data.py",
    r"paris-coord init ": "house/test_exit_codes.py",
    r"paris-coord check-config ": "coordinator/proposal/test_check_config.py",
    r"paris-coord prepare [\w/]+( --accept-changes)?$": "swarm/test_whole_run.py",
    r"paris-coord (--quiet --log-format json )?serve ": "swarm/test_whole_run.py",
    r"paris-coord (warm-start|train-router|report|distill) ": "swarm/test_whole_run.py",
    r"paris-coord reference ": "coordinator/training/test_reference.py",
    r"paris-coord notify ": "coordinator/service/test_notices.py",
    r"paris-coord signer ": "swarm/test_two_coordinators.py",
    r"paris-coord (backup|restore) ": "coordinator/backup/test_backup.py",
    r"paris-coord browse ": "coordinator/run_hub/test_browsing.py",
    r"paris-coord hub ": "coordinator/test_documented_commands.py",
    r"paris-node join runs/": "swarm/test_whole_run.py",
    r"paris-node hand-in ": "swarm/test_relay.py",
    r"paris-node (pause|resume|finish|leave)\b": "node/control/test_control_socket.py",
    r"paris-node doctor( --json)?$": "swarm/test_whole_run.py",
    r"paris-coord try ": "coordinator/trying/test_try_page.py",
    r"python -m paris.coordinator.demo.fashion": "coordinator/test_demo_fashion.py",
    r"docker (build|compose)": "house/test_containers.py",
}
"""Run by another test, with names and sizes of its own."""
NOT_RUN = {
    r"paris-coord demo --recipe fashion": "trains eight experts for most of an hour; test_demo.py runs the demo itself",
    r"paris-coord prepare .*(--ray|--captioner)": "a Ray cluster, and a captioner of gigabytes",
    r"(PARIS_HUB_TOKEN=\S+ )?(uvx .*)?paris-node (-v )?(join|doctor) (org/|https:|/ip4|emoji-|RUN)": "no such run",
    r"(pip|pipx|uvx|uv|\S*/pip|python3 -m venv|make install|make docs)\b": "installs packages over the network",
    r"make (test|test-long|check|mutants|attacks|fuzz|demo|demo-fashion|quick)\b": "contains this, or takes long",
    r"make faults\b": "whole runs for hours; test_faults.py plays some",
    r"FUZZ_SEED=\d+ make fuzz": "runs for long",
    r"\.venv/bin/python -m (pytest|benchmarks\.)": "contains this test, or runs for long",
    r"(\. \.venv|ssh |docker run|HF_ENDPOINT=\S+ hf |mkdir |cp )": "the reader's shell, server or container",
}
"""Run by no test, and why."""


def documented_lines() -> list[str]:
    """Every line of a shell block, without its comment, in the order of the documents; each once."""
    found: dict[str, None] = {}
    for path in markdown_files():
        if path.parent == ROOT / "docs" / "errors":
            continue
        for block in blocks(path):
            if block.language in SHELL:
                joined = re.sub(r"\\\n\s*", " ", block.text)
                found.update(dict.fromkeys(re.sub(r"(^|\s+)#.*", "", line).strip() for line in joined.splitlines()))
    return [line for line in found if line]


def place_of(line: str) -> str | None:
    """Where a line is run, or why it is not; None for one that nobody has thought of."""
    for pattern, place in {**ELSEWHERE, **NOT_RUN}.items():
        if re.match(pattern, line):
            return place
    return "here" if runs_in_the_world(line) else None


def runs_in_the_world(line: str) -> bool:
    """Whether the shared world runs a line."""
    if any(re.match(pattern, line) for pattern in {**ELSEWHERE, **NOT_RUN}):
        return False
    groups = (pattern.partition(" ") for pattern in IN_THE_WORLD)
    return any(re.match(rf"{program} ({words})\b", line) for program, _, words in groups)
