"""What a survey cannot tell, as questions: each can also be answered by an option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from paris.coordinator.prepare.rows.licences import UNKNOWN
from paris.coordinator.prepare.sources.settings import HubSource
from paris.coordinator.proposal.errors import UndecidedError
from paris.coordinator.proposal.findings import Survey
from paris.coordinator.proposal.undecided import caption_kind, row_licence, shown_fields
from paris.coordinator.proposal.wishes import CaptionKind, Wishes

_KINDS: dict[str, CaptionKind] = {"own": "own", "class": "class", "none": "none"}


@dataclass(frozen=True)
class Question:
    """One question."""

    option: str
    """The option that answers it."""
    text: str
    default: str = ""
    """The answer of `--yes`; empty if there is none."""


def open_questions(survey: Survey, wishes: Wishes) -> list[Question]:
    """What is asked before a proposal can be made."""
    questions = []
    try:
        caption_kind(survey, wishes)
    except UndecidedError:
        fields = shown_fields(survey.captions)
        named = f"the name of the field that holds it ({fields}), or " if fields else ""
        questions.append(Question("--captions", f"No picture has a caption: type {named}none to train without text"))
    if wishes.licence is None and not survey.card_licence and UNKNOWN in survey.licences:
        count = survey.licences[UNKNOWN]
        which = "picture that states none" if count == 1 else f"{count} pictures that state none"
        text = f"Licence of the {which} (such as cc-by-4.0, cc0-1.0)"
        questions.append(Question("--licence", text, "" if isinstance(survey.source, HubSource) else UNKNOWN))
    return questions


def answered(wishes: Wishes, answers: Mapping[str, str]) -> tuple[Wishes, str | None]:
    """The wishes with the answers, by option, and the name of the captions' field if one was answered."""
    column = None
    if captions := answers.get("--captions"):
        kind, column = caption_wish(captions)
        wishes = replace(wishes, captions=kind)
    if licence := answers.get("--licence"):
        wishes = replace(wishes, licence=licence)
    return wishes, column


def caption_wish(text: str) -> tuple[CaptionKind | None, str | None]:
    """Kind and field of a `--captions`: own, class, none, or the name of a field with captions."""
    return (_KINDS[text], None) if text in _KINDS else (None, text)


def require_answered(survey: Survey, wishes: Wishes, *, accept_defaults: bool) -> dict[str, str]:
    """The defaults of all questions, where nobody can be asked.

    Args:
        survey: What was seen.
        wishes: What was asked for.
        accept_defaults: Whether `--yes` was given.

    Raises:
        UndecidedError: Questions have no default, or defaults are not accepted; it names all of them.
    """
    questions = open_questions(survey, wishes)
    undecided: list[UndecidedError] = []
    for decide in (caption_kind, row_licence):
        try:
            decide(survey, wishes)
        except UndecidedError as error:
            undecided.append(error)
    undecided += [
        UndecidedError(
            f"Not known, and nobody to ask here: {question.text}.",
            f"Give {question.option} ...; --yes takes {question.option} {question.default}.",
        )
        for question in questions
        if question.default and not accept_defaults
    ]
    if undecided:
        what = " ".join(error.what for error in undecided)
        raise UndecidedError(what, " ".join(error.next_step for error in undecided))
    return {question.option: question.default for question in questions}
