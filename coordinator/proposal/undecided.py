"""Pure: where captions and the licence come from, or that only the organiser can tell."""

from __future__ import annotations

from paris.coordinator.prepare.rows.licences import UNKNOWN, normal_licence
from paris.coordinator.prepare.sources.settings import HubSource
from paris.coordinator.proposal.errors import UndecidedError
from paris.coordinator.proposal.findings import Captions, Survey
from paris.coordinator.proposal.wish_checks import require_one_text
from paris.coordinator.proposal.wishes import CaptionKind, Wishes
from paris.protocol.printable import on_one_line

_OWN_SHARE = 0.5


def caption_kind(survey: Survey, wishes: Wishes) -> CaptionKind:
    """Where captions come from.

    Raises:
        UndecidedError: There are none, and no way out is chosen.
    """
    captions = survey.captions
    require_one_text(wishes)
    if wishes.captions is not None:
        return wishes.captions
    if captions.own >= _OWN_SHARE * survey.rows or wishes.captioner is not None:
        return "own"
    if len(captions.class_names) > 1:
        return "class"
    if captions.own:
        return "own"
    raise UndecidedError(
        f"{_none_of(survey)} has a caption, and no folder names a class.",
        f"{_fields(survey)}Put a .txt beside each, or give --captioner MODEL, or --captions none to learn no text.",
    )


def _fields(survey: Survey) -> str:
    if not survey.captions.fields_seen:
        return ""
    return f"Their fields are {shown_fields(survey.captions)}: give one as --captions NAME. "


def shown_fields(captions: Captions) -> str:
    """The names of the fields that may hold captions, on one line."""
    return ", ".join(map(on_one_line, captions.fields_seen[:8]))


def _none_of(survey: Survey) -> str:
    place = on_one_line(survey.place)
    return f"Not the one picture of {place}" if survey.rows == 1 else f"None of the {survey.rows} pictures of {place}"


def row_licence(survey: Survey, wishes: Wishes) -> str:
    """Licence of the pictures that state none.

    Raises:
        UndecidedError: Nothing states one, and the pictures are somebody else's: a data set of a Hub.
    """
    if wishes.licence is not None:
        return normal_licence(wishes.licence)
    if survey.card_licence:
        return normal_licence(survey.card_licence)
    if isinstance(survey.source, HubSource) and UNKNOWN in survey.licences:
        raise UndecidedError(
            f"The data set {survey.source.repo} states no licence for {survey.licences[UNKNOWN]} of its pictures.",
            "Ask its authors, then give --licence NAME; --licence unknown publishes it as it is.",
        )
    return UNKNOWN
