"""Verification of a submission in a child process, which imports torch so that the service does not."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.decisions.draws import draw_secret
from paris.coordinator.decisions.legs import compared_with, forgotten_legs, kept_heads
from paris.coordinator.errors import NotOnHubError, NotTrainableAgainError
from paris.coordinator.run.derived import derived_secret
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.service.candidates import candidate
from paris.coordinator.service.references import head_scores, reference_curves
from paris.coordinator.service.registering import fetch_chain, weights_file
from paris.coordinator.service.verifying import VerifyingProcesses
from paris.coordinator.state.model import LeaseState, State, SubmissionState
from paris.coordinator.verify import (
    REPLAY_FOLDER,
    AuditFound,
    LegStart,
    OtherCheckpoint,
    Report,
    VerificationBounds,
    VerificationCase,
    VerificationRequest,
    read_report,
    write_case,
)
from paris.experts.files import write_whole
from paris.protocol.hub_layout import CHAIN_FILE, STATE_FILES
from paris.protocol.lanes import expert_of
from paris.protocol.manifest import Manifest
from paris.protocol.run_records import RunSpec
from paris.protocol.sizes import of_size


@dataclass(frozen=True)
class Verifier:
    """Runs the verification ladder of one run.

    Args:
        run: The run directory.
        spec: The published RunSpec.
        hub: The run's repos.
        processes: Verify.
    """

    run: RunDir
    spec: RunSpec
    hub: RunHub
    processes: VerifyingProcesses

    def verify(self, state: State, lease_id: str) -> Report:
        """Run the ladder on a submission in a child process.

        Args:
            state: Holds the submission, its lease, and the other checkpoints.
            lease_id: Names the submission.

        Raises:
            WorkerError: The child could not verify (the Hub was down, say); nothing is decided.
            HubError: The Hub did not answer for work that another machine verified; nothing is decided.
        """
        folder, known = _folder(self.run, lease_id), state.submissions[lease_id]
        report_file = folder / "report.json"
        earlier = read_report(report_file) if _was_asked(state, known) and report_file.is_file() else None
        return self._verified(self._case(state, known, folder, earlier), report_file)

    def recheck(self, state: State, lease_id: str) -> Report:
        """Let the child train a verified leg again as a whole, or compare the audits of it.

        Its first report stays.

        Args:
            state: Holds the leg.
            lease_id: Names it.

        Raises:
            WorkerError: As `verify`.
            HubError: As `verify`.
            NotTrainableAgainError: The chain of the leg's snapshots is gone.
        """
        folder, known = _folder(self.run, lease_id), state.submissions[lease_id]
        if not (folder / CHAIN_FILE).is_file():
            self._fetch_chain(known, folder)
        case = self._case(state, known, folder, None)
        case = case.model_copy(update={"recheck": True, "end": known.head})
        report = self._verified(case, folder / "recheck.json")
        if report.is_decided:
            for name in STATE_FILES:
                (folder / "candidate" / name).unlink(missing_ok=True)
        return report

    def _fetch_chain(self, known: SubmissionState, folder: Path) -> None:
        """Put the chain of a leg that another machine verified into the work folder."""
        try:
            data = fetch_chain(self.hub, known, folder)
        except NotOnHubError as error:
            raise NotTrainableAgainError(f"{folder / CHAIN_FILE} is gone, on the Hub too.") from error
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CHAIN_FILE, data)

    def _verified(self, case: VerificationCase, report_file: Path) -> Report:
        case_file, lease_id = case.work_dir / "case.json", case.lease.lease_id
        write_case(case, case_file)
        try:
            log = self.run.logs / f"verify-{lease_id[:8]}.log"
            request = VerificationRequest(case=case_file, report=report_file, log=log, token=self.hub.token)
            self.processes.verify(request)
            return read_report(report_file)
        finally:
            case_file.unlink(missing_ok=True)

    def discard_states(self, state: State, lease_id: str) -> None:
        """Free the disk that a stored leg's state took, and all that legs took whose states are no longer kept.

        Args:
            state: The run's state.
            lease_id: Of the stored leg; its EMA weights are kept, to compare others with.
        """
        for leg in forgotten_legs(state.submissions.values()):
            self.discard_candidate(leg.submission.lease_id)
        for name in STATE_FILES:
            (_folder(self.run, lease_id) / "candidate" / name).unlink(missing_ok=True)

    def discard_candidate(self, lease_id: str) -> None:
        """Free the disk that a rejected checkpoint and its replay took; its report is kept."""
        for name in ("candidate", REPLAY_FOLDER):
            shutil.rmtree(_folder(self.run, lease_id) / name, ignore_errors=True)

    def _case(self, state: State, known: SubmissionState, folder: Path, earlier: Report | None) -> VerificationCase:
        held = state.leases[known.submission.lease_id]
        task = state.tasks[known.submission.task_id].task
        manifest = load_manifests(self.run)[task.cluster]
        bounds = VerificationBounds.model_validate(self.run.config.verify_settings)
        return VerificationCase(
            run_id=self.run.run_id,
            coordinator=self.run.identity.public_key,
            run=of_size(self.spec, held.lease.size),
            task=task,
            lease=held.lease,
            submission=known.envelope,
            received_at=known.seen_at,
            hub_endpoint=self.hub.endpoint,
            work_dir=folder,
            heldout=tuple(self.run.heldout_files),
            shards=tuple(self.run.data / shard.path for shard in manifest.shards),
            text_folder=self.run.data,
            others=self._others(state, known),
            leg=None if held.lease.start_step is None else _leg_start(state, held, manifest),
            curves=reference_curves(
                self.run, state, min(known.submission.steps, task.steps), known.signer, held.lease.size
            ),
            head=head_scores(self.run, state, held),
            seed=verification_seed(self.run),
            draw_secret=draw_secret(derived_secret(self.run, "draws").hex(), held.lease.lease_id),
            replay_rate=known.replay_rate,
            answers=known.answers,
            audited=bounds.audits == "volunteers" and not known.is_replayed_here,
            audits=_audits_of(state, known),
            earlier=None if earlier is None or earlier.is_decided else earlier,
            bounds=bounds,
            device=self.run.config.compute.device,
            num_threads=self.run.config.compute.num_threads,
        )

    def _others(self, state: State, judged: SubmissionState) -> tuple[OtherCheckpoint, ...]:
        """Checkpoints verified before this one; of two equal ones the first is the original.

        An announced digest alone does not count: anybody can sign the digest of another's file.
        """
        others, own_size = [], state.leases[judged.submission.lease_id].lease.size
        for known in compared_with(state.submissions.values(), judged):
            size = state.leases[known.submission.lease_id].lease.size
            folder = _folder(self.run, known.submission.lease_id)
            ids = known.submission.task_id, judged.submission.task_id
            is_lane_beside = ids[0] != ids[1] and expert_of(ids[0]) == expert_of(ids[1])
            other = OtherCheckpoint(
                task_id=known.submission.task_id,
                cluster=state.tasks[known.submission.task_id].task.cluster,
                objective=state.tasks[known.submission.task_id].task.objective,
                sha256=weights_file(known).sha256,
                volunteer=known.signer,
                path=None if is_lane_beside else candidate(self.hub, folder, state, known),
                registered=known.phase != "withdrawn",
                step=known.submission.steps,
                model=None if size == own_size else of_size(self.spec, size).model,
            )
            others.append(other)
        return tuple(others)


def _leg_start(state: State, held: LeaseState, manifest: Manifest) -> LegStart:
    """Where a lease's leg starts; from the state of another lane too, after a roll-back or the others' failure."""
    kept = kept_heads(state.tasks, state.submissions.values(), held.lease.task_id)
    return LegStart(
        commitment=held.start_commitment,
        head=next((head for head in kept if head.commitment == held.start_commitment), None),
        shard_rows=tuple(shard.rows for shard in manifest.shards),
    )


def _was_asked(state: State, known: SubmissionState) -> bool:
    """Whether something was asked for after an earlier verification: snapshots, or an audit."""
    audited = any(audit.leg == known.submission.lease_id for audit in state.audits.values())
    return bool(known.answers) or audited or known.is_replayed_here


def _audits_of(state: State, known: SubmissionState) -> tuple[AuditFound, ...]:
    """What auditors returned for a leg, in the order in which they were asked."""
    arrived = [
        audit
        for audit in state.audits.values()
        if audit.leg == known.submission.lease_id and audit.outcome == "arrived"
    ]
    return tuple(
        AuditFound(
            lease_id=audit.lease_id,
            volunteer=audit.volunteer,
            name=audit.name,
            start=audit.start_step,
            end=audit.end_step,
            nonce=audit.nonce,
            **audit.result.model_dump(include={"commitment", "digest", "sketch"}),
        )
        for audit in sorted(arrived, key=lambda audit: audit.granted_at)
        if audit.result is not None
    )


def _folder(run: RunDir, lease_id: str) -> Path:
    return run.verify / lease_id


def verification_seed(run: RunDir) -> int:
    """Decides which secret rows, times and noises are drawn; the same for all submissions of a run."""
    return int.from_bytes(derived_secret(run, "verification")[:7], "big")
