"""What verification found: single checks, gathered to rungs, gathered to a report.

OUT.json     Report
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from paris.coordinator.errors import WorkerError
from paris.experts.files import write_whole
from paris.protocol.records import Rung, Verdict

RungName = Literal["envelope", "structure", "novelty", "skill"]
_LARGEST = 1e30
_MAX_TEXT = 300


class Check(BaseModel):
    """One thing that was measured, and the bound it was held to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    """Kebab-case, unique within its rung: the reason code."""
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


class Refused(Exception):
    """A check did not pass; carries it to the ladder."""

    def __init__(self, check: Check) -> None:
        self.check = check
        super().__init__(check.sentence())


class Checks:
    """The checks of one rung, in the order in which they were made. The first that fails ends the rung."""

    def __init__(self) -> None:
        self.made: list[Check] = []
        self.remarks: list[str] = []

    def at_most(self, name: str, figure: float, bound: float, note: str) -> None:
        """Hold a figure against an upper bound. Not a number counts as too large.

        Raises:
            Refused: It is larger.
        """
        self._add(
            Check(name=name, passed=figure <= bound, figure=_finite(figure), bound=bound, sense="at most", note=note)
        )

    def at_least(self, name: str, figure: float, bound: float, note: str) -> None:
        """Hold a figure against a lower bound. Not a number counts as too small.

        Raises:
            Refused: It is smaller.
        """
        shown = _finite(-figure)
        self._add(Check(name=name, passed=figure >= bound, figure=-shown, bound=bound, sense="at least", note=note))

    def none(self, name: str, offenders: list[str], note: str) -> None:
        """Demand that a list of offenders is empty; the refusal names the first.

        Raises:
            Refused: There is one.
        """
        first = f" (first: {offenders[0][:80]})" if offenders else ""
        self.at_most(name, len(offenders), 0, note + first)

    def require(self, name: str, holds: bool, note: str) -> None:
        """Demand that something holds; counts as 0 or 1 violations.

        Raises:
            Refused: It does not.
        """
        self.at_most(name, 0 if holds else 1, 0, note)

    def remark(self, text: str) -> None:
        """Write down something that is no ground for refusal."""
        self.remarks.append(text)

    def _add(self, check: Check) -> None:
        # Notes quote names from the submission: no control characters, no half surrogates that JSON cannot carry.
        note = "".join(letter if letter.isprintable() else "?" for letter in check.note)
        check = check.model_copy(update={"note": note})
        self.made.append(check)
        if not check.passed:
            raise Refused(check)


class RungReport(BaseModel):
    """A rung with all its checks."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: RungName
    passed: bool
    headline: Check
    """The check that failed, or else the one that says most about this rung."""
    checks: tuple[Check, ...]
    remarks: tuple[str, ...] = ()
    seconds: float

    def record(self) -> Rung:
        """The rung as it stands in the signed verdict."""
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
    """40 hex digits: the commit that everything was read at."""
    repo: str
    pull_request: int | None = None
    path: str | None = None
    """The checkpoint within the repo."""
    sha256: str | None = None
    num_bytes: int | None = None
    local_path: Path | None = None
    """The verified file here, once its digest was right."""

    def records(self) -> tuple[Rung, ...]:
        """The rungs as they stand in the signed verdict."""
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
    """The reason of a refusal, cut to what a record holds."""
    code, figures = f"{rung}/{check.name}: ", f"{check.figures()}."
    return code + check.note[: _MAX_TEXT - len(code) - len(figures)] + figures


def write_report(report: Report, path: Path) -> None:
    """Write a report whole."""
    write_whole(path, report.model_dump_json(indent=1).encode())


def read_report(path: Path) -> Report:
    """Read what the child wrote.

    Raises:
        WorkerError: There is no report, or it is not one.
    """
    try:
        return Report.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise WorkerError(f"Verification left no report in {path}: {error}.", "It will be tried again.") from error


def _shown(figure: float) -> float:
    """A count as it is; a measurement to four digits, so that verdicts tell little about the secret rows."""
    return figure if figure.is_integer() else float(f"{figure:.4g}")


def _finite(figure: float) -> float:
    return _LARGEST if math.isnan(figure) else max(-_LARGEST, min(_LARGEST, float(figure)))
