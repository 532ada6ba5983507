"""Files of records on the model repo: this node's own, in a pull request, and the coordinator's, on a branch."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from paris.node.errors import HubRefusedError
from paris.node.hub.client import Hub, translated
from paris.protocol.hub_layout import SWARM_BRANCH, mailbox_file, mailbox_title, pull_request_ref
from paris.protocol.record_file import RecordFile, max_file_bytes, open_record_file, pack_records

_logger = logging.getLogger(__name__)
_NOT_FOUND = 404
_GONE = (403, _NOT_FOUND)
"""What a Hub answers to a commit on a pull request that is closed, or deleted."""


class Mailbox:
    """One volunteer's mailbox. Not thread-safe in `write`.

    Args:
        hub: The run's Hub, with a token.
        repo: The run's model repo.
        public_key: The volunteer's.
    """

    def __init__(self, hub: Hub, repo: str, public_key: str) -> None:
        self._hub, self._repo, self.public_key = hub, repo, public_key
        self._number: int | None = None
        """Of the pull request."""

    def read(self, path: str, max_records: int) -> RecordFile | None:
        """A file of the coordinator's; None where there is none.

        Raises:
            TransientHubError: A later try may work.
            HubRefusedError: The Hub rejected the request permanently, or the file is too large.
            RecordError, VersionError: It is no file of records.
        """
        url = self._hub.url(self._repo, path, repo_type="model", revision=SWARM_BRANCH)
        try:
            data = self._hub.read_small(url, max_file_bytes(max_records))
        except HubRefusedError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return open_record_file(data, max_records=max_records)

    def write(self, records: Sequence[bytes]) -> None:
        """Replace what is in the mailbox; a closed one is replaced by a new one at the next call.

        Args:
            records: Sealed ones of this node.

        Raises:
            TransientHubError: A later try may work.
            HubRefusedError: The Hub rejected the request permanently.
        """
        from huggingface_hub import CommitOperationAdd

        number = self._find() if self._number is None else self._number
        title = mailbox_title(self.public_key)
        operation = CommitOperationAdd(mailbox_file(self.public_key), pack_records(records))
        try:
            with translated(f"writing records to {self._repo}"):
                info = self._hub.api.create_commit(
                    self._repo,
                    [operation],
                    repo_type="model",
                    commit_message=title,
                    create_pr=number is None,
                    revision=None if number is None else pull_request_ref(number),
                )
        except HubRefusedError as error:
            if error.status in _GONE:
                self._number = None
            raise
        if number is None:
            _logger.info("Opened a mailbox on %s: pull request %s.", self._repo, info.pr_num)
        self._number = number or int(info.pr_num or 0)

    def _find(self) -> int | None:
        """The open pull request that an earlier start of this user made."""
        with translated(f"looking for the mailbox on {self._repo}"):
            found = self._hub.api.get_repo_discussions(
                self._repo,
                repo_type="model",
                discussion_type="pull_request",
                discussion_status="open",
                author=self._hub.user_name(),
            )
            for discussion in found:
                if discussion.title == mailbox_title(self.public_key):
                    return int(discussion.num)
        return None
