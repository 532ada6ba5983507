"""Rung after rung, cheapest first, until one refuses or all have passed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import Tensor

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.envelope_rung import Judged, climb_envelope
from paris.coordinator.verify.novelty_rung import climb_novelty
from paris.coordinator.verify.report import Check, Checks, Refused, Report, RungName, RungReport, rejection
from paris.coordinator.verify.skill_rung import climb_skill
from paris.coordinator.verify.structure_rung import climb_structure, largest_file
from paris.experts.models.initial_weights import InitialWeights, starting_expert
from paris.experts.models.presets import ModelConfig

T = TypeVar("T")
_HEADLINES: dict[RungName, str] = {"envelope": "size", "structure": "largest-norm", "novelty": "copy", "skill": "gain"}


def verify(case: VerificationCase, progress: Callable[[str], None]) -> Report:
    """Judge one submission.

    Args:
        case: The submission and all that it is judged by.
        progress: Receives a sentence after each rung.

    Returns:
        The report, accepted or not. The verified file stays at `case.candidate`.

    Raises:
        HubError: The Hub could not be asked; nothing is decided.
        NotReadyError: Something of the organiser's own is missing; nothing is decided.
    """
    return _Climb(case, progress).run()


class _Climb:
    """The state of one verification on its way up."""

    def __init__(self, case: VerificationCase, progress: Callable[[str], None]) -> None:
        self._case = case
        self._progress = progress
        self._config: ModelConfig = ModelConfig.from_settings(case.run.model)
        self._judged: Judged | None = None
        self._rungs: list[RungReport] = []

    def run(self) -> Report:
        refusal: tuple[RungName, Check] | None = None
        try:
            self._envelope()
            self._weights()
        except _Stopped as stopped:
            refusal = stopped.rung, stopped.check
        return self._report(refusal)

    def _envelope(self) -> None:
        case, largest = self._case, largest_file(self._config, self._case.bounds)

        def climb(checks: Checks) -> None:
            self._judged = climb_envelope(case, checks, largest)

        self._rung("envelope", climb)

    def _weights(self) -> None:
        """Rungs 2 to 4, which read the fetched file."""
        case, judged = self._case, self._judged
        if judged is None:
            raise ValueError("Rung 1 passed without naming what is judged.")
        named = case.run.initial_weights
        weights = InitialWeights.from_settings(named.model_dump()) if named else None
        start = starting_expert(self._config, case.run.seed, weights, case.text_folder)
        initial: Mapping[str, Tensor] = start.state_dict()
        file = self._rung("structure", lambda checks: climb_structure(case, self._config, initial, checks))
        self._rung("novelty", lambda checks: climb_novelty(case, file, initial, judged.sha256, checks))
        claimed = judged.submission.final_loss
        self._rung("skill", lambda checks: climb_skill(case, self._config, file, initial, claimed, checks))

    def _rung(self, name: RungName, climb: Callable[[Checks], T]) -> T:
        """Climb one rung, time it, and put down what it measured."""
        checks, began = Checks(), time.monotonic()
        try:
            found = climb(checks)
        except Refused as refused:
            self._add(name, checks, refused.check, began)
            raise _Stopped(name, refused.check) from refused
        self._add(name, checks, _headline(name, checks), began)
        return found

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

    def _report(self, refusal: tuple[RungName, Check] | None) -> Report:
        case, judged = self._case, self._judged
        reason = "All rungs passed." if refusal is None else rejection(*refusal)
        return Report(
            task_id=case.task.task_id,
            attempt=case.lease.attempt,
            lease_id=case.lease.lease_id,
            volunteer=case.lease.volunteer,
            accepted=refusal is None,
            reason=reason,
            rungs=tuple(self._rungs),
            repo=case.run.model_repo,
            commit=judged.commit if judged else None,
            pull_request=judged.pull_request if judged else None,
            path=judged.path if judged else None,
            sha256=judged.sha256 if judged else None,
            num_bytes=judged.num_bytes if judged else None,
            local_path=case.candidate if judged else None,
        )


class _Stopped(Exception):
    def __init__(self, rung: RungName, check: Check) -> None:
        self.rung = rung
        self.check = check
        super().__init__(rung)


def _headline(name: RungName, checks: Checks) -> Check:
    """The check that says most; the last one where that was not made."""
    return next((check for check in reversed(checks.made) if check.name == _HEADLINES[name]), checks.made[-1])
