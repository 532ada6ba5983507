"""The mean of the states that an expert's lanes ended a round with: computed in a child process, stored on a branch."""

from __future__ import annotations

import hashlib
import logging
import shutil
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.children import Children, Program
from paris.coordinator.decisions.observations import AverageLanes, LanesAveraged, LanesLost
from paris.coordinator.errors import NotOnHubError, WorkerError
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.state.model import State
from paris.experts.files import file_sha256
from paris.experts.training.commitments import commitment_of
from paris.protocol.chain import parse_chain
from paris.protocol.errors import RecordError
from paris.protocol.hub_layout import CHAIN_FILE, STATE_FILES, mean_of_lanes, state_branch, state_branches, state_folder
from paris.protocol.run_records import Head, SubmittedFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LaneMeans:
    """Averages the lanes of a run's experts.

    Args:
        hub: The run's repos.
        verify: Work folders of the verifications, with the verified chains of legs.
        children: Starts the child process.
    """

    hub: RunHub
    verify: Path
    children: Children

    def store(self, state: State, action: AverageLanes, *, leaves_out: bool = False) -> LanesAveraged | LanesLost:
        """Fetch the lanes' states from their branches, and put their mean on a branch of its own.

        Anybody can compute the same bytes: the head's files are the means, in the order of the lanes, and its
        `previous` is the digest of the lanes' commitments. Deletes the branches of means that the saved state no longer
        keeps. Idempotent: called again after a crash it stores the same.

        Args:
            state: Holds the lanes' stored legs.
            action: Names them.
            leaves_out: Leave out lanes whose states the Hub does not have; where no mean can be computed, the first
                lane at hand is gone on from alone. For a mean that failed often: a round must end.

        Returns:
            With `leaves_out`, LanesLost where the Hub has none of the states.

        Raises:
            NotOnHubError: The Hub does not have a state, or has other bytes than were verified; not with `leaves_out`.
            HubError: The Hub did not answer, or refused.
            WorkerError: The child failed, or no lane's verified chain can be read; not with `leaves_out`, unless the
                coordinator is stopping.
        """
        folder = self.verify / f"mean-{action.task_id}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            heads = self._fetched(state, action, folder, leaves_out=leaves_out)
            if not heads:
                return LanesLost(action.task_id, action.leases)
            mean = self._mean_or_none(state, action, heads, folder, may_fail=leaves_out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        used = tuple(heads) if mean is not None else tuple(heads)[:1]
        left_out = tuple(lease_id for lease_id in action.leases if lease_id not in used)
        return LanesAveraged(action.task_id, used, mean or heads[used[0]], left_out)

    def _fetched(self, state: State, action: AverageLanes, folder: Path, *, leaves_out: bool) -> dict[str, Head]:
        """Fetch the lanes' states into `folder/lane-0` and so on; their heads, by lease."""
        heads: dict[str, Head] = {}
        for lease_id in action.leases:
            place = folder / f"lane-{len(heads)}"
            try:
                head = self._head(state, lease_id)
                self._fetch(head, place)
            except NotOnHubError as error:
                if not leaves_out:
                    raise
                logger.warning("Lease %s is left out of the mean: %s", lease_id[:8], error)
                shutil.rmtree(place, ignore_errors=True)
            else:
                heads[lease_id] = head
        return heads

    def _mean_or_none(
        self, state: State, action: AverageLanes, heads: dict[str, Head], folder: Path, *, may_fail: bool
    ) -> Head | None:
        """The stored mean; None for a single state, or where it cannot be computed and `may_fail`."""
        if len(heads) == 1:
            return None
        try:
            digest = self._task_digest(action.task_id, heads)
            self.children.run("mean", Program.LANE_MEANS, str(folder), str(len(heads)))
        except WorkerError as error:
            if not may_fail or self.children.is_stopping:
                raise
            logger.warning("%s goes on from one lane alone: %s", action.task_id, error)
            return None
        return self._stored(state, action, list(heads.values()), digest, folder / "mean")

    def _head(self, state: State, lease_id: str) -> Head:
        head = state.submissions[lease_id].head
        if head is None:
            what = f"The state that lease {lease_id[:8]} ended with is not kept."
            raise NotOnHubError(what, "Roll the expert back.")
        return head

    def _fetch(self, head: Head, folder: Path) -> None:
        for file in head.files:
            found = self.hub.download(file.path, folder / "fetched", head.commit)
            if file_sha256(found) != file.sha256:
                raise NotOnHubError(f"{file.path} on the Hub is not what was verified.", "Restore it from a backup.")
            found.replace(folder / found.name)
        shutil.rmtree(folder / "fetched")

    def _stored(self, state: State, action: AverageLanes, heads: list[Head], digest: str, folder: Path) -> Head:
        name = mean_of_lanes(action.task_id)
        branch, place = state_branch(name, action.step), state_folder(name, action.step)
        digests = {file: file_sha256(folder / file) for file in STATE_FILES}
        message = f"Mean of {len(heads)} lanes of {action.task_id} at step {action.step}"
        commit = self.hub.upload_state({f"{place}/{file}": folder / file for file in STATE_FILES}, message, branch)
        self._delete_old(state, action.task_id, branch)
        previous = digest_of_lanes([head.commitment for head in heads])
        files = {file.removesuffix(".safetensors"): sha256 for file, sha256 in digests.items()}
        logger.info("Stored %s at %s.", branch, commit[:12])
        return Head(
            step=action.step,
            loss=statistics.fmean(head.loss for head in heads),
            previous=previous,
            commitment=commitment_of(previous, digest, action.step, files),
            commit=commit,
            files=tuple(
                SubmittedFile(path=f"{place}/{file}", sha256=sha256, bytes=(folder / file).stat().st_size)
                for file, sha256 in digests.items()
            ),
        )

    def _task_digest(self, task_id: str, leases: Iterable[str]) -> str:
        """Of the training task, which is the same in every lane."""
        for lease_id in leases:
            try:
                return parse_chain((self.verify / lease_id / CHAIN_FILE).read_bytes()).task
            except (OSError, RecordError) as error:
                logger.warning("The chain of lease %s cannot be read: %s", lease_id[:8], error)
        raise WorkerError(f"No lane of {task_id} has a readable {CHAIN_FILE}.", "Restore it from a backup.")

    def _delete_old(self, state: State, task_id: str, newest: str) -> None:
        name = mean_of_lanes(task_id)
        kept = {newest, *(state_branch(name, one.step) for one in state.tasks[task_id].rounds if one.head is not None)}
        for branch in self.hub.branches(state_branches(name)):
            if branch not in kept:
                self.hub.delete_branch(branch)


def digest_of_lanes(commitments: list[str]) -> str:
    """What stands before a mean in the chain: SHA-256 of the commitments of the lanes, a line each, in their order."""
    return hashlib.sha256("\n".join(commitments).encode()).hexdigest()
