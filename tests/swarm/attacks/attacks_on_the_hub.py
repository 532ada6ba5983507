"""Attacks on the embedded Hub of a served run, by its stock client with a made-up token."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
from attacks_on_the_run import RunAttack
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from mallory import Mallory, Outcome

CODE = b"import os\n"


def refused(attempt: Callable[[Mallory, HfApi], object]) -> Callable[[Mallory], Outcome]:
    """Expect an answer of the Hub that refuses."""

    def play(mallory: Mallory) -> Outcome:
        constants.HF_HUB_DISABLE_XET = True
        try:
            attempt(mallory, mallory.hub())
        except HfHubHTTPError as error:
            return Outcome(f"hub/{error.response.status_code}")
        except ValueError:
            return Outcome("client")
        return Outcome("", 1)

    return play


def commit(mallory: Mallory, hub: HfApi, path: str = "README.md", data: bytes = CODE, **how):
    operation = CommitOperationAdd(path, data)
    return hub.create_commit(mallory.spec.model_repo, [operation], commit_message="Better", **how)


def onto_anothers(mallory: Mallory, hub: HfApi) -> None:
    number = commit(mallory, mallory.hub("victim"), create_pr=True).pr_num
    commit(mallory, hub, data=CODE * 2, revision=f"refs/pr/{number}")


def merge_own(mallory: Mallory, hub: HfApi) -> None:
    number = commit(mallory, hub, create_pr=True).pr_num
    hub.merge_pull_request(mallory.spec.model_repo, number)


def close_anothers(mallory: Mallory, hub: HfApi) -> None:
    number = commit(mallory, mallory.hub("victim"), create_pr=True).pr_num
    hub.change_discussion_status(mallory.spec.model_repo, number, "closed")


def outside(mallory: Mallory, hub: HfApi) -> None:
    """The client refuses such a path, so the request is made by hand."""
    url = f"{mallory.spec.hub_endpoint}/api/models/{mallory.spec.model_repo}/commit/main?create_pr=1"
    lines = (
        b'{"key":"header","value":{"summary":"x","description":""}}\n'
        b'{"key":"file","value":{"content":"aW1wb3J0IG9zCg==","path":"../../x.py","encoding":"base64"}}\n'
    )
    headers = {"authorization": f"Bearer {hub.token}", "content-type": "application/x-ndjson"}
    answer = httpx2.post(url, content=lines, headers=headers)
    if answer.is_error:
        raise HfHubHTTPError("refused", response=answer)


ON_THE_HUB = (
    RunAttack("commit to main", "Writes to the repo without a pull request", "hub/403", refused(commit)),
    RunAttack("merge of its own", "Merges its own pull request", "hub/403", refused(merge_own)),
    RunAttack("push to another's", "Pushes to another's pull request", "hub/403", refused(onto_anothers)),
    RunAttack("close another's", "Closes another's pull request", "hub/403", refused(close_anothers)),
    RunAttack(
        "repo of its own", "Makes a repo", "hub/403", refused(lambda mallory, hub: hub.create_repo("mallory/shapes"))
    ),
    RunAttack(
        "delete the repo",
        "Deletes the run's repo",
        "hub/403",
        refused(lambda mallory, hub: hub.delete_repo(mallory.spec.model_repo)),
    ),
    RunAttack(
        "delete a branch",
        "Deletes main",
        "hub/403",
        refused(lambda mallory, hub: hub.delete_branch(mallory.spec.model_repo, branch="main")),
    ),
    RunAttack("path outside the repo", "Commits a file at ../../x.py", "hub/400", refused(outside)),
)
