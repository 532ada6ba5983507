"""The result of a verification: checks, grouped by rung, in one report.

OUT.json     Report
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from paris.coordinator.errors import WorkerError
from paris.coordinator.state.audits import AuditNeed, AuditVote, Bait
from paris.coordinator.verify.curves import ScoredPoint
from paris.experts.files import write_whole
from paris.protocol.work_records import Rung, Verdict

RungName = Literal["envelope", "structure", "novelty", "skill", "replay"]
_LARGEST = 1e30
_MAX_TEXT = 300


class Check(BaseModel):
    """One measurement and its bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    """The reason code in kebab-case, unique within its rung."""
    passed: bool
    figure: float
    bound: float
    sense: Literal["at most", "at least"]
    note: str

    def sentence(self) -> str:
        """The note with the figure and the bound."""
        return self.note + self.figures()

    def figures(self) -> str:
        """The figure and the bound in words."""
        demand = "allowed" if self.sense == "at most" else "asked for"
        return f": {_shown(self.figure):.12g}, {self.sense} {_shown(self.bound):.12g} is {demand}"


class CheckFailed(Exception):
    """A check failed; the rest of the ladder is skipped."""

    def __init__(self, check: Check) -> None:
        self.check = check
        super().__init__(check.sentence())


class Checks:
    """The checks of one rung, in order. The first that fails ends the rung."""

    def __init__(self) -> None:
        self.made: list[Check] = []
        self.remarks: list[str] = []

    def at_most(self, name: str, figure: float, bound: float, note: str) -> None:
        """Check an upper bound. NaN counts as too large.

        Raises:
            CheckFailed: The figure is larger.
        """
        self._add(
            Check(name=name, passed=figure <= bound, figure=_finite(figure), bound=bound, sense="at most", note=note)
        )

    def at_least(self, name: str, figure: float, bound: float, note: str) -> None:
        """Check a lower bound. NaN counts as too small.

        Raises:
            CheckFailed: The figure is smaller.
        """
        shown = _finite(-figure)
        self._add(Check(name=name, passed=figure >= bound, figure=-shown, bound=bound, sense="at least", note=note))

    def none(self, name: str, offenders: list[str], note: str) -> None:
        """Check that a list of offenders is empty; the note names the first.

        Raises:
            CheckFailed: It is not empty.
        """
        first = f" (first: {offenders[0][:80]})" if offenders else ""
        self.at_most(name, len(offenders), 0, note + first)

    def require(self, name: str, condition: bool, note: str) -> None:
        """Check a condition; counts as 0 or 1 violations.

        Raises:
            CheckFailed: It is false.
        """
        self.at_most(name, 0 if condition else 1, 0, note)

    def remark(self, text: str) -> None:
        """Note a fact that is no reason to refuse."""
        self.remarks.append(text)

    def _add(self, check: Check) -> None:
        # Notes quote names from the submission: no control characters, no lone surrogates, which JSON cannot encode.
        note = "".join(letter if letter.isprintable() else "?" for letter in check.note)
        check = check.model_copy(update={"note": note})
        self.made.append(check)
        if not check.passed:
            raise CheckFailed(check)


class RungReport(BaseModel):
    """A rung with all its checks."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: RungName
    passed: bool
    headline: Check
    """The check that failed, or else the most informative one of this rung."""
    checks: tuple[Check, ...]
    remarks: tuple[str, ...] = ()
    seconds: float

    def record(self) -> Rung:
        """The rung's entry in the signed verdict."""
        note = "; ".join((self.headline.note, *self.remarks))[:_MAX_TEXT]
        figure, bound = _shown(self.headline.figure), _shown(self.headline.bound)
        return Rung(rung=self.name, passed=self.passed, figure=figure, bound=bound, note=note)


class Report(BaseModel):
    """The outcome of one verification, accepted or not."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task_id: str
    attempt: int
    lease_id: str
    volunteer: str
    accepted: bool
    reason: str
    """At most 300 characters; a rejection names the rung, the check, the figure and the bound."""
    rungs: tuple[RungReport, ...]
    commit: str | None = None
    """40 hex digits: the commit at which everything was read."""
    repo: str
    pull_request: int | None = None
    path: str | None = None
    """The checkpoint within the repo."""
    sha256: str | None = None
    num_bytes: int | None = None
    local_path: Path | None = None
    """The local file, once its digest has been checked."""
    scores: ScoredPoint | None = None
    """Of a submission that passed the skill rung; secret, because they tell about the secret rows."""
    needs: tuple[int, ...] = ()
    """Steps of snapshots that a replay needs; then nothing is decided yet."""
    audit: AuditNeed | None = None
    """An audit that is needed; then nothing is decided yet, either."""
    votes: tuple[AuditVote, ...] = ()
    """Of the audits so far."""
    baits: tuple[Bait, ...] = ()
    """What a refusal by audits leaves."""

    @property
    def is_decided(self) -> bool:
        """Whether this is the last report on the submission."""
        return not self.needs and self.audit is None

    def records(self) -> tuple[Rung, ...]:
        """The rungs of the signed verdict."""
        return tuple(rung.record() for rung in self.rungs)

    def verdict(self) -> Verdict:
        """The payload to sign."""
        return Verdict(
            lease_id=self.lease_id,
            task_id=self.task_id,
            attempt=self.attempt,
            volunteer=self.volunteer,
            accepted=self.accepted,
            reason=self.reason,
            rungs=self.records(),
        )


def rejection(rung: str, check: Check) -> str:
    """The reason of a rejection, cut to the length that a record may have."""
    code, figures = f"{rung}/{check.name}: ", f"{check.figures()}."
    return code + check.note[: _MAX_TEXT - len(code) - len(figures)] + figures


def write_report(report: Report, path: Path) -> None:
    """Write a report, whole or not at all, readable by its owner only."""
    write_whole(path, report.model_dump_json(indent=1).encode(), mode=0o600)


def read_report(path: Path) -> Report:
    """Read the report of the child process.

    Raises:
        WorkerError: The file is missing or malformed.
    """
    try:
        return Report.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise WorkerError(f"Verification left no report in {path}: {error}.", "It will be tried again.") from error


def _shown(figure: float) -> float:
    """A count unchanged; a measurement to four digits, so that verdicts reveal little about the secret rows."""
    return figure if figure.is_integer() else float(f"{figure:.4g}")


def _finite(figure: float) -> float:
    return _LARGEST if math.isnan(figure) else max(-_LARGEST, min(_LARGEST, float(figure)))
