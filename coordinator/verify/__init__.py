"""The verification ladder: is this submission the expert that its lease asked for? Cheapest check first.

    case.py            the input: VerificationCase, CASE.json
    report.py          the result: checks, rungs, Report, OUT.json
    bounds.py          every threshold, with its reason
    hub_reads.py       reading a pull request at one commit
    envelope_rung.py   1  signatures, lease, files; sizes before bytes
    leg_chain.py          of a leg: steps within its lease, and the chain of its snapshots
    header.py             safetensors headers, read without loading
    tensor_reads.py       one tensor at a time from a checked file
    structure_rung.py  2  exactly the model's tensors, finite, of sane size
    state_files.py        of a leg: the state that the next one resumes from
    state_specs.py        which tensors its files have
    training_task.py      the task whose digest the chain names
    novelty_rung.py    3  neither the initial weights nor a copy of another submission
    spectra.py            singular values that a copy in another order keeps
    skill_rung.py      4  better than the initial weights, and best on its own cluster
    curves.py             what trusted trainings reached by which step
    reference_file.py     those of the organiser, on disk
    reference.py          comparison with these: gain, specialisation, captions
    yardsticks.py         else with experts of other clusters, of the same objective or another
    claims.py             the claimed training loss
    more_words.py         a remark on words that change what an expert knows
    replay_rung.py     5  of a leg: drawn stretches, trained again
    audit_votes.py        or by other volunteers, whose sketches are compared
    claimed_states.py     where the states between which they lie come from
    scoring.py            losses on secret rows
    statistics.py         the paired bootstrap
    ladder.py          rung after rung, until a check fails
    __main__.py        the child process, which verifies one case after another

Importing this package imports no torch; `ladder` does.
"""

from __future__ import annotations

from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.case import (
    REPLAY_FOLDER,
    AuditFound,
    LegStart,
    OtherCheckpoint,
    VerificationAnswer,
    VerificationCase,
    VerificationRequest,
    read_case,
    write_case,
)
from paris.coordinator.verify.report import Check, Report, RungReport, read_report, write_report

__all__ = [
    "REPLAY_FOLDER",
    "AuditFound",
    "Check",
    "LegStart",
    "OtherCheckpoint",
    "Report",
    "RungReport",
    "VerificationAnswer",
    "VerificationBounds",
    "VerificationCase",
    "VerificationRequest",
    "read_case",
    "read_report",
    "write_case",
    "write_report",
]
