"""The verification ladder: rung after rung, the cheapest first, until a check fails or all have passed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor

from paris.coordinator.state.audits import AuditNeed
from paris.coordinator.verify.audit_votes import AuditNeeded, Votes
from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.curves import ScoredPoint
from paris.coordinator.verify.envelope_rung import Candidate, check_envelope
from paris.coordinator.verify.leg_chain import Overtaken, require_head
from paris.coordinator.verify.novelty_rung import check_novelty
from paris.coordinator.verify.replay_rung import SnapshotsMissing, check_replay, drawn_stretches
from paris.coordinator.verify.report import Check, CheckFailed, Checks, Report, RungName, RungReport, rejection
from paris.coordinator.verify.skill_rung import check_skill
from paris.coordinator.verify.state_files import check_state, file_limits
from paris.coordinator.verify.structure_rung import check_structure
from paris.coordinator.verify.tensor_reads import TensorFile
from paris.experts.models.initial_weights import InitialWeights, starting_expert
from paris.experts.models.presets import ModelConfig
from paris.protocol.chain import Chain, parse_chain
from paris.protocol.hub_layout import SUBMITTED_AS

T = TypeVar("T")
_HEADLINES: dict[RungName, str] = {
    "envelope": "size",
    "structure": "largest-norm",
    "novelty": "copy",
    "skill": "gain",
    "replay": "distance",
}


def verify(case: VerificationCase, progress: Callable[[str], None]) -> Report:
    """Judge one submission.

    Args:
        case: The submission and everything that it is judged by.
        progress: Receives a sentence after each rung.

    Returns:
        The report, accepted or not. The verified file stays at `case.candidate`.

    Raises:
        HubError: The Hub did not answer; nothing is decided.
        NotReadyError: A file of the organiser is missing; nothing is decided.
    """
    return _Verification(case, progress).run()


class _Verification:
    """The state of one verification."""

    def __init__(self, case: VerificationCase, progress: Callable[[str], None]) -> None:
        self._case = case
        self._progress = progress
        self._config: ModelConfig = ModelConfig.from_settings(case.run.model)
        self._candidate: Candidate | None = None
        self._rungs: list[RungReport] = []
        self._scores: ScoredPoint | None = None
        self._votes: Votes | None = None

    def run(self) -> Report:
        try:
            self._replay(self._checked())
        except SnapshotsMissing as missing:
            return self._report(str(missing), accepted=False, needs=missing.steps)
        except AuditNeeded as needed:
            start, end = needed.stretch
            return self._report(
                str(needed), accepted=False, audit=AuditNeed(start_step=start, end_step=end, start=needed.start)
            )
        except Overtaken as overtaken:
            return self._report(str(overtaken), accepted=False)
        except _RungFailed as failed:
            return self._report(rejection(failed.rung, failed.check), accepted=False)
        return self._report("All rungs passed.", accepted=True)

    def _checked(self) -> Chain | None:
        """The chain of a leg, after rungs 1 to 4."""
        if self._case.recheck:
            return parse_chain(self._case.chain.read_bytes())
        return self._climb() if self._case.earlier is None else self._continue(self._case.earlier)

    def _continue(self, earlier: Report) -> Chain:
        """Take over what was found before the volunteer was asked for snapshots, and read the leg's chain again.

        The task's head may have moved since.
        """
        self._rungs = list(earlier.rungs)
        chain = parse_chain(self._case.chain.read_bytes())
        require_head(self._case, chain)
        return chain

    def _replay(self, chain: Chain | None) -> None:
        case = self._case
        if chain is None or case.leg is None or not (stretches := drawn_stretches(case, chain)):
            return
        leg, by_file = case.leg, file_limits(case, self._config)
        limits = {part: by_file[name] for part, name in SUBMITTED_AS.items()}
        votes = self._votes = Votes(case, leg) if case.bounds.audits == "volunteers" else None
        self._rung("replay", lambda checks: check_replay(case, leg, chain, stretches, limits, checks, votes))

    def _climb(self) -> Chain | None:
        """Climb rungs 1 to 4; the chain of a leg."""
        case, config = self._case, self._config

        limits = file_limits(case, config)
        candidate = self._rung("envelope", lambda checks: check_envelope(case, checks, limits))
        self._candidate = candidate
        if candidate.chain is not None:
            require_head(case, candidate.chain)

        initial = self._initial_weights()
        file = self._rung("structure", lambda checks: self._structure(initial, candidate, checks))
        self._rung("novelty", lambda checks: check_novelty(case, file, initial, candidate.sha256, checks))

        claim = candidate.submission.final_loss, min(candidate.submission.steps, case.task.steps)
        self._scores = self._rung("skill", lambda checks: check_skill(case, config, file, initial, claim, checks))
        return candidate.chain

    def _structure(self, initial: Mapping[str, Tensor], candidate: Candidate, checks: Checks) -> TensorFile:
        """Check the structure of the weights, and of a leg the rest of the state that the next one starts from."""
        file = check_structure(self._case, self._config, initial, checks)
        if self._case.leg is not None:
            check_state(self._case, self._config, file, candidate.submission.steps, checks)
        return file

    def _initial_weights(self) -> Mapping[str, Tensor]:
        """The weights that every expert of the run started from, by name."""
        run = self._case.run
        weights = InitialWeights.from_settings(run.initial_weights.model_dump()) if run.initial_weights else None
        expert = starting_expert(self._config, run.seed, weights, self._case.text_folder)
        state: Mapping[str, Tensor] = expert.state_dict()
        return state

    def _rung(self, name: RungName, check: Callable[[Checks], T]) -> T:
        """Run one rung's checks, time them and add them to the report.

        Raises:
            _RungFailed: A check failed.
        """
        checks, began = Checks(), time.monotonic()
        try:
            result = check(checks)
        except CheckFailed as failed:
            self._add(name, checks, failed.check, began)
            raise _RungFailed(name, failed.check) from failed
        self._add(name, checks, _headline(name, checks), began)
        return result

    def _add(self, name: RungName, checks: Checks, headline: Check, began: float) -> None:
        seconds = time.monotonic() - began
        rung = RungReport(
            name=name,
            passed=headline.passed,
            headline=headline,
            checks=tuple(checks.made),
            remarks=tuple(checks.remarks),
            seconds=seconds,
        )
        self._rungs.append(rung)
        word = "passed" if rung.passed else "refused"
        self._progress(f"{name} {word} in {seconds:.1f} s: {headline.sentence()}")

    def _report(
        self, reason: str, *, accepted: bool, needs: tuple[int, ...] = (), audit: AuditNeed | None = None
    ) -> Report:
        case, candidate, votes = self._case, self._candidate, self._votes
        found: dict[str, Any] = {
            "accepted": accepted,
            "reason": reason,
            "rungs": tuple(self._rungs),
            "needs": needs,
            "audit": audit,
            "votes": tuple(votes.cast) if votes else (),
            "baits": tuple(votes.baits) if votes else (),
        }
        if case.earlier is not None:
            return case.earlier.model_copy(update=found)
        return Report(
            task_id=case.task.task_id,
            attempt=case.lease.attempt,
            lease_id=case.lease.lease_id,
            volunteer=case.lease.volunteer,
            repo=case.run.model_repo,
            commit=candidate.commit if candidate else None,
            pull_request=candidate.pull_request if candidate else None,
            path=candidate.path if candidate else None,
            sha256=candidate.sha256 if candidate else None,
            num_bytes=candidate.num_bytes if candidate else None,
            local_path=case.candidate if candidate else None,
            scores=self._scores,
            **found,
        )


class _RungFailed(Exception):
    def __init__(self, rung: RungName, check: Check) -> None:
        self.rung = rung
        self.check = check
        super().__init__(rung)


def _headline(name: RungName, checks: Checks) -> Check:
    """The check that the verdict shows for a passed rung; the last one if the rung's usual headline was not made."""
    return next((check for check in reversed(checks.made) if check.name == _HEADLINES[name]), checks.made[-1])
