"""The comment with which a pull request is closed: what became of it, the verdict for people, and signed.

It is Markdown for the public and the embedded Hub. Its first line is the outcome, which the embedded Hub's pages show
in place of "closed". The title stays as it is: a node finds its pull request by it.
"""

from __future__ import annotations

import re

from paris.protocol.hub_layout import VERDICT_MARK
from paris.protocol.printable import on_one_line
from paris.protocol.run_records import Head, Registration
from paris.protocol.work_records import Verdict

_MARKS = re.compile(r"[\\|<>\[\]`]")


def registered_as(registration: Registration) -> str:
    """The outcome of work that was registered."""
    commit = _commit(registration.repo, registration.commit)
    file = f"The weights are `{registration.path}`, sha256 `{registration.sha256}`."
    return f"**Registered** as {registration.task_id} in {commit}.\n\n{file}"


def stored_as(task_id: str, head: Head, repo: str) -> str:
    """The outcome of a leg whose state was stored."""
    return f"**Stored** as the state of {task_id} at step {head.step} in {_commit(repo, head.commit)}."


def verdict_text(verdict: Verdict, outcome: str | None, sealed: str) -> str:
    """The comment.

    Args:
        verdict: Its reason and rungs are shown; they may contain names that a volunteer chose.
        outcome: Of work that was registered or stored; None for any other.
        sealed: The signed verdict, for a node that finds none in the DHT.
    """
    reason = _plain(verdict.reason)
    if outcome is None:
        lines = [f"**{'Accepted' if verdict.accepted else 'Rejected'}**: {reason}"]
    else:
        lines = [outcome, "", reason]
    if verdict.rungs:
        lines += ["", "| rung | passed | figure | bound | note |", "| --- | --- | ---: | ---: | --- |"]
        lines += [
            f"| {r.rung} | {'yes' if r.passed else 'no'} | {r.figure:.4g} | {r.bound:.4g} | {_plain(r.note)} |"
            for r in verdict.rungs
        ]
    if verdict.credit_steps is not None:
        lines += ["", f"Credit: {verdict.credit_steps} steps."]
    lines += ["", VERDICT_MARK + sealed]
    return "\n".join(lines)


def _commit(repo: str, commit: str) -> str:
    """A link that leads to the commit's page on either Hub."""
    return f"[`{commit[:12]}`](/{repo}/commit/{commit})"


def _plain(text: str) -> str:
    """A text as one line without a meaning in Markdown: no cell, link, picture or HTML of a stranger's."""
    return _MARKS.sub(lambda mark: "\\" + mark[0], on_one_line(text))
