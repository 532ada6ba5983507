"""States of a training that a volunteer, or an earlier one, committed to: where their files are, and fetching them.

the leg's start     the task's head, on its branch; without one the state is public
the leg's end       the submission's files, fetched by rung 1, or in a recheck the head that they became; after a
                    task's last step its EMA weights alone
any between         the volunteer's answer to a challenge
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.errors import HubError
from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.hub_reads import HubReads, NotOnHub, TooLarge
from paris.coordinator.verify.report import Checks
from paris.experts.files import copy_whole
from paris.experts.training.commitments import FILES
from paris.experts.training.leg import Head
from paris.protocol.audit_order import AuditStart
from paris.protocol.chain import Chain
from paris.protocol.hub_layout import SUBMITTED_AS, snapshot_paths, submission_folder
from paris.protocol.run_records import SubmittedFile


@dataclass(frozen=True)
class _OnHub:
    """A file of the model repo."""

    file: SubmittedFile
    commit: str
    is_verified: bool
    """Of a head: what is wrong with it is not the volunteer's fault."""


class ClaimedStates:
    """The states of one leg.

    Args:
        case: The submission and its context.
        chain: Of the leg, checked.
        limits: Largest file of each of `FILES`, in bytes.
    """

    def __init__(self, case: VerificationCase, chain: Chain, limits: dict[str, int]) -> None:
        self._case, self._chain, self._limits = case, chain, limits
        self._head = case.leg.head if case.leg else None
        self._on_hub = self._found_on_hub()
        self._submitted = {part: path for part, name in SUBMITTED_AS.items() if (path := case.file(name)).is_file()}

    def at_hand(self, step: int) -> tuple[str, ...]:
        """Those of `FILES` of a state that can be had."""
        if step == self._chain.links[-1].step:
            return tuple(name for name in FILES if name in self._submitted or (step, name) in self._on_hub)
        return tuple(name for name in FILES if (step, name) in self._on_hub)

    def digests(self, step: int) -> dict[str, str]:
        """SHA-256 of each of `FILES` that the volunteer committed to."""
        found: dict[str, str] = next(link.files.model_dump() for link in self._chain.links if link.step == step)
        return found

    def head(self, step: int) -> Head | None:
        """A state to start from, as training takes it; None at step 0."""
        if step == 0:
            return None
        chain = self._chain
        if step == chain.start.step:
            known = self._head
            if known is None:
                raise ValueError("The state where the leg starts is not on the Hub.")
            files = {file.path.rpartition("/")[2].partition(".")[0]: file.sha256 for file in known.files}
            return Head(step=step, loss=known.loss, previous=known.previous, commitment=known.commitment, files=files)
        links = [(chain.start.commitment, link) for link in chain.links[:1]]
        links += [(before.commitment, link) for before, link in zip(chain.links, chain.links[1:], strict=False)]
        previous, link = next((previous, link) for previous, link in links if link.step == step)
        # The smoothed loss is no part of the chain, nor of the training.
        return Head(step=step, loss=0.0, previous=previous, commitment=link.commitment, files=link.files.model_dump())

    def commitment(self, step: int) -> str:
        """What the volunteer committed to at a snapshot of the leg."""
        return next(link.commitment for link in self._chain.links if link.step == step)

    def audit_start(self, step: int, checks: Checks) -> AuditStart | None:
        """A state for auditors to start from, who fetch it themselves; None at step 0.

        Args:
            step: All of its files are at hand on the Hub.
            checks: Records the measurements.

        Raises:
            CheckFailed: The files that the volunteer declared are too large, or not those that it committed to.
        """
        head = self.head(step)
        if head is None:
            return None
        sources = {name: self._on_hub[step, name] for name in FILES}
        for name, source in sources.items():
            if not source.is_verified:
                self._check_declared(source.file, name, step, checks)
        first = sources[FILES[0]]
        return AuditStart(
            previous=head.previous,
            commitment=head.commitment,
            commit=first.commit,
            folder=first.file.path.rpartition("/")[0],
            sha256=tuple(source.file.sha256 for source in sources.values()),
            bytes=tuple(source.file.bytes for source in sources.values()),
        )

    def _check_declared(self, file: SubmittedFile, name: str, step: int, checks: Checks) -> None:
        what = f"{name} at step {step}"
        checks.at_most("snapshot-size", file.bytes, self._limits[name], f"declared bytes of {what}")
        expected = self.digests(step)[name]
        note = f"{what} is declared with digest {file.sha256[:12]}, the chain has {expected[:12]}"
        checks.require("snapshot", file.sha256 == expected, note)

    def fetch(self, step: int, folder: Path, checks: Checks) -> None:
        """Put the files of a state that are at hand into a folder, under the names that training gives them.

        Raises:
            CheckFailed: The volunteer's files are not those that it committed to.
            HubError: The Hub did not answer, or has lost or changed a verified state; nothing is decided.
        """
        for name in self.at_hand(step):
            target = folder / f"{name}.safetensors"
            if step == self._chain.links[-1].step and name in self._submitted:
                copy_whole(self._submitted[name], target)
            elif not target.is_file():
                self._download(self._on_hub[step, name], name, step, target, checks)

    def _found_on_hub(self) -> dict[tuple[int, str], _OnHub]:
        case, found = self._case, {}
        place = submission_folder(case.task.task_id, case.lease.attempt, case.lease.volunteer)
        for answer in case.answers:
            by_path = {file.path: file for file in answer.files}
            for link in self._chain.links:
                for name, path in zip(FILES, snapshot_paths(place, link.step), strict=True):
                    if path in by_path:
                        found[link.step, name] = _OnHub(by_path[path], answer.commit, is_verified=False)
        for head in filter(None, (self._head, case.end)):
            for file in head.files:
                name = file.path.rpartition("/")[2].partition(".")[0]
                found[head.step, name] = _OnHub(file, head.commit, is_verified=True)
        return found

    def _download(self, source: _OnHub, name: str, step: int, target: Path, checks: Checks) -> None:
        case, file = self._case, source.file
        hub = HubReads(case.hub_endpoint, case.token, case.run.model_repo)
        what = f"{name} at step {step}"
        if not source.is_verified:
            checks.at_most("snapshot-size", file.bytes, self._limits[name], f"declared bytes of {what}")
        try:
            found = hub.download(file.path, source.commit, target, max_bytes=file.bytes)
        except (NotOnHub, TooLarge) as error:
            if source.is_verified:
                raise HubError(f"The verified state {file.path} cannot be read: {error}", "Restore it.") from error
            checks.require("snapshot", False, str(error))
            raise
        expected = file.sha256 if source.is_verified else self.digests(step)[name]
        if found == expected:
            return
        target.unlink()
        if source.is_verified:
            raise HubError(f"{file.path} has digest {found[:12]}, verified was {expected[:12]}.", "Restore it.")
        checks.require("snapshot", False, f"{what} has digest {found[:12]}, the chain has {expected[:12]}")
