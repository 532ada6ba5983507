"""The run's two repos on a Hub, by the stock client.

The public and the embedded Hub are used alike, except for Xet, which only the public one has.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from paris.coordinator.hub_errors import hub_errors, use_hub_client
from paris.protocol.hub_layout import PUBLIC_ENDPOINT, pull_request_ref
from paris.protocol.secrets import keep_secret

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def _nothing() -> None:
    """Where there is one coordinator, it leads."""


@dataclass(frozen=True)
class RunHub:
    """The run's two repos on a Hub.

    Args:
        endpoint: URL without a trailing slash.
        token: The organiser's.
        model_repo: `org/name` where experts are registered.
        data_repo: `org/name` of the data set with shards and manifests.
        require_lead: Called before each change of a repo; raises DeposedError where another coordinator leads by now.
    """

    endpoint: str
    token: str
    model_repo: str
    data_repo: str
    require_lead: Callable[[], None] = _nothing

    @cached_property
    def api(self) -> HfApi:
        """The stock client for this endpoint."""
        return make_api(self.endpoint, self.token)

    def ensure_repos(self) -> None:
        """Create each repo that does not exist.

        Raises:
            HubError: The Hub refused, or did not answer.
        """
        with hub_errors(self.endpoint):
            for repo, kind in ((self.model_repo, "model"), (self.data_repo, "dataset")):
                if not self.api.repo_exists(repo, repo_type=kind):
                    self.api.create_repo(repo, repo_type=kind)

    def upload_data(self, folder: Path) -> str:
        """Upload the prepared data, without the secret held-out rows; returns the commit, 40 hex digits.

        Raises:
            HubError: The Hub refused, or did not answer; calling again resumes the upload.
        """
        self.require_lead()
        with hub_errors(self.endpoint):
            commit = self.api.upload_folder(
                repo_id=self.data_repo,
                repo_type="dataset",
                folder_path=folder,
                allow_patterns=[
                    "shards/**",
                    "manifests/*.json",
                    "vocab.json",
                    "initial_weights.safetensors",
                    "attribution.parquet",
                    "text_encoder/**",
                    "README.md",
                ],
                commit_message="Prepared data",
            )
            return str(commit.oid)

    def upload_file(self, path_in_repo: str, data: bytes, message: str) -> None:
        """Write one small file on the model repo's main branch, unless it has these bytes already."""
        from huggingface_hub import RepoFile

        blob_id = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        self.require_lead()
        with hub_errors(self.endpoint):
            present = self.api.get_paths_info(self.model_repo, [path_in_repo])
            if any(isinstance(file, RepoFile) and file.blob_id == blob_id for file in present):
                return
            self.api.upload_file(
                path_or_fileobj=data, path_in_repo=path_in_repo, repo_id=self.model_repo, commit_message=message
            )

    def copy_verified(self, revision: str | None, copies: Mapping[str, str], message: str, branch: str = "main") -> str:
        """Copy verified files onto a branch, pinned to the verified commit; a merge could take unverified commits.

        Args:
            revision: The verified commit.
            copies: Path in that commit to path on the branch.
            message: Commit message.
            branch: Made from main if it does not exist.

        Returns:
            The commit on the branch, 40 hex digits.

        Raises:
            HubError: The Hub refused or did not answer; no file of the branch is changed.
        """
        from huggingface_hub import CommitOperationCopy

        operations = [CommitOperationCopy(*paths, src_revision=revision) for paths in copies.items()]
        self.require_lead()
        with hub_errors(self.endpoint):
            if branch != "main":
                self.api.create_branch(self.model_repo, branch=branch, exist_ok=True)
            head = self.api.repo_info(self.model_repo, revision=branch).sha
            commit = self.api.create_commit(
                self.model_repo, operations, commit_message=message, revision=branch, parent_commit=head
            )
            return str(commit.oid)

    def upload_state(self, files: Mapping[str, Path], message: str, branch: str) -> str:
        """Write files on a branch in one commit.

        Args:
            files: Path on the branch to local file.
            message: Commit message.
            branch: Made from main if it does not exist.

        Returns:
            The commit, 40 hex digits.

        Raises:
            HubError: The Hub refused or did not answer; no file of the branch is changed.
        """
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(path, str(file)) for path, file in files.items()]
        self.require_lead()
        with hub_errors(self.endpoint):
            self.api.create_branch(self.model_repo, branch=branch, exist_ok=True)
            made = self.api.create_commit(self.model_repo, operations, commit_message=message, revision=branch)
            return str(made.oid)

    def branches(self, prefix: str) -> list[str]:
        """The branches of the model repo whose names begin so."""
        with hub_errors(self.endpoint):
            refs = self.api.list_repo_refs(self.model_repo)
            return [branch.name for branch in refs.branches if branch.name.startswith(prefix)]

    def delete_branch(self, branch: str) -> None:
        """Delete a branch, and so free the storage of what no other one has."""
        self.require_lead()
        with hub_errors(self.endpoint):
            self.api.delete_branch(self.model_repo, branch=branch)

    def close_pull_request(self, number: int, text: str, *, free_storage: bool) -> None:
        """Comment on a pull request and close it. Idempotent.

        Args:
            number: Of the pull request.
            text: The comment.
            free_storage: Delete its ref, so that the Hub may free its files.
        """
        self.require_lead()
        with hub_errors(self.endpoint):
            details = self.api.get_discussion_details(self.model_repo, number)
            if details.status in ("open", "draft"):
                self.api.change_discussion_status(self.model_repo, number, "closed", comment=text)
            if free_storage:
                self._delete_ref(number)

    def pull_request_holds(self, number: int, path: str) -> bool:
        """Whether a pull request exists and has a file of this path; its number alone does not prove whose it is."""
        from huggingface_hub.errors import RevisionNotFoundError

        with hub_errors(self.endpoint):
            try:
                return bool(self.api.get_paths_info(self.model_repo, [path], revision=pull_request_ref(number)))
            except RevisionNotFoundError:
                return False

    def _delete_ref(self, number: int) -> None:
        """By the public API; the stock client has no method for it."""
        from huggingface_hub.utils import get_session, hf_raise_for_status

        url = f"{self.endpoint}/api/models/{self.model_repo}/discussions/{number}/ref"
        response = get_session().request("DELETE", url, headers={"authorization": f"Bearer {self.token}"})
        if response.status_code != 404:
            hf_raise_for_status(response)

    def find_registered(self, path: str, branch: str = "main") -> tuple[str, int] | None:
        """Sha256 and size in bytes of the file at a path on a branch; None if there is none, or no such branch."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RevisionNotFoundError

        with hub_errors(self.endpoint):
            try:
                infos = self.api.get_paths_info(self.model_repo, [path], revision=branch)
            except RevisionNotFoundError:
                return None
            file = infos[0] if infos else None
            if not isinstance(file, RepoFile) or file.lfs is None:
                return None
            return str(file.lfs.sha256), int(file.size)

    def upload_release(self, folder: Path, leave_out: list[str], tags: Sequence[str]) -> None:
        """Upload a release folder to main.

        Args:
            folder: The release.
            leave_out: Paths that are on main already.
            tags: Of the commit, each moved if it exists.
        """
        self.require_lead()
        with hub_errors(self.endpoint), warnings.catch_warnings():
            # The client warns of a table in a model repo; the attribution belongs there.
            warnings.filterwarnings("ignore", message=".*commit a data file.*")
            commit = self.api.upload_folder(
                repo_id=self.model_repo, folder_path=folder, ignore_patterns=leave_out, commit_message="Release"
            )
        present = self.tags()
        for tag in tags:
            self.set_tag(tag, str(commit.oid), replaces=tag in present)

    def tags(self) -> dict[str, str]:
        """The tags of the model repo, and the commit of each."""
        with hub_errors(self.endpoint):
            return {tag.name: tag.target_commit for tag in self.api.list_repo_refs(self.model_repo).tags}

    def set_tag(self, tag: str, commit: str, *, replaces: bool) -> None:
        """Tag a commit of the model repo; `replaces` says that there is such a tag, elsewhere."""
        self.require_lead()
        with hub_errors(self.endpoint):
            if replaces:
                self.api.delete_tag(self.model_repo, tag=tag)
            self.api.create_tag(self.model_repo, tag=tag, revision=commit)

    def delete_tag(self, tag: str) -> None:
        """Delete a tag."""
        self.require_lead()
        with hub_errors(self.endpoint):
            self.api.delete_tag(self.model_repo, tag=tag)

    def head(self, branch: str = "main") -> str:
        """The commit of a branch, 40 hex digits."""
        with hub_errors(self.endpoint):
            return str(self.api.repo_info(self.model_repo, revision=branch).sha)

    def download(self, path: str, folder: Path, revision: str) -> Path:
        """Fetch one file of the model repo at a commit into a folder."""
        with hub_errors(self.endpoint):
            return Path(self.api.hf_hub_download(self.model_repo, path, revision=revision, local_dir=folder))


def make_api(endpoint: str, token: str | None) -> HfApi:
    """The stock client for an endpoint.

    Args:
        endpoint: URL without a trailing slash.
        token: None sends none, not even one that is saved on this machine.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import disable_progress_bars

    use_hub_client()
    keep_secret(token)
    if endpoint != PUBLIC_ENDPOINT:
        constants.HF_HUB_DISABLE_XET = True
    disable_progress_bars()
    return HfApi(endpoint=endpoint, token=token or False)
