"""Records on the model repo: volunteers' mailboxes, which are pull requests, and the coordinator's files on a branch.

By the stock client, like `client.py`. A branch, not main: its commits would fill main's history, and one of them
between a registration's look at main and its commit would make the Hub refuse the registration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from paris.coordinator.errors import NotOnHubError
from paris.coordinator.hub_errors import hub_errors
from paris.coordinator.run_hub.client import RunHub
from paris.protocol.hub_layout import SWARM_BRANCH, mailbox_owner, pull_request_ref

_PULL = "refs/pr/"


@dataclass(frozen=True)
class Mailbox:
    """An open pull request with the title of a mailbox. Anybody may open one under any key."""

    number: int
    key: str
    """Of the volunteer, as the title says."""


@dataclass(frozen=True)
class HubMailboxes:
    """The requests that the way through the Hub takes.

    Args:
        hub: The run's repos.
    """

    hub: RunHub

    def found(self, at_most: int) -> list[Mailbox]:
        """The mailboxes among so many of the newest open pull requests.

        Raises:
            HubError: As of all methods: the Hub refused, or did not answer.
        """
        with hub_errors(self.hub.endpoint):
            pulls = self.hub.api.get_repo_discussions(
                self.hub.model_repo, discussion_type="pull_request", discussion_status="open"
            )
            keys = [(pull.num, mailbox_owner(pull.title)) for pull in islice(pulls, at_most)]
        return [Mailbox(number, key) for number, key in keys if key is not None]

    def heads(self) -> dict[int, str]:
        """The head commits of pull requests by their numbers, in one request: of the newest 1000, if there are more."""
        with hub_errors(self.hub.endpoint):
            refs = self.hub.api.list_repo_refs(self.hub.model_repo, include_pull_requests=True)
        pulls = [ref for ref in refs.pull_requests or () if ref.ref.removeprefix(_PULL).isdecimal()]
        return {int(ref.ref.removeprefix(_PULL)): ref.target_commit for ref in pulls}

    def head_of(self, number: int) -> str | None:
        """The head commit of one pull request; None if it is gone."""
        try:
            return self.hub.head(pull_request_ref(number))
        except NotOnHubError:
            return None

    def read(self, path: str, revision: str, max_bytes: int) -> bytes | None:
        """A small file of the model repo; None if there is none, or it is larger."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        hub = self.hub
        url = hf_hub_url(hub.model_repo, path, revision=revision, endpoint=hub.endpoint)
        headers = {**build_hf_headers(token=hub.token), "Accept-Encoding": "identity"}
        data = bytearray()
        try:
            with hub_errors(hub.endpoint), get_session().stream("GET", url, headers=headers) as response:
                if response.status_code >= 400:
                    response.read()
                hf_raise_for_status(response)
                for piece in response.iter_raw():
                    data += piece
                    if len(data) > max_bytes:
                        return None
        except NotOnHubError:
            return None
        return bytes(data)

    def write(self, files: Mapping[str, bytes], removed: Iterable[str], message: str) -> None:
        """Change files on the branch in one commit, of which it has the old state or the new one."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(path, data) for path, data in files.items()
        ]
        operations += [CommitOperationDelete(path) for path in removed]
        self.hub.require_lead()
        with hub_errors(self.hub.endpoint):
            self.hub.api.create_commit(self.hub.model_repo, operations, commit_message=message, revision=SWARM_BRANCH)

    def begin(self) -> None:
        """Make the branch anew, without what an earlier coordinator left, and without its history."""
        self.end()
        self.hub.require_lead()
        with hub_errors(self.hub.endpoint):
            self.hub.api.create_branch(self.hub.model_repo, branch=SWARM_BRANCH, exist_ok=True)

    def end(self) -> None:
        """Delete the branch: no mailboxes are read."""
        if SWARM_BRANCH in self.hub.branches(SWARM_BRANCH):
            self.hub.delete_branch(SWARM_BRANCH)

    def close(self, number: int, why: str) -> None:
        """Close a mailbox and free its storage; why is a comment. Idempotent."""
        self.hub.close_pull_request(number, why, free_storage=True)
