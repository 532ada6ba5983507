"""A survey and a proposal as tables for people, and as an object for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paris.coordinator.proposal.findings import Captions, Pictures, Survey
from paris.coordinator.proposal.remarks import Remark
from paris.coordinator.proposal.texts import MAX_DISTINCT
from paris.coordinator.proposal.wishes import Proposal
from paris.protocol.printable import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_SHOWN = 4
_KINDS = {"folder": "folder of pictures", "parquet": "Parquet files", "webdataset": "tars", "hub": "data set of a Hub"}


def survey_table(survey: Survey) -> Table:
    """What was found, one line a subject."""
    from rich.table import Table

    title = _plain(f"{survey.place}: {_KINDS[survey.source.kind]}")
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in survey_lines(survey):
        table.add_row(name, _plain(text))
    return table


def survey_lines(survey: Survey) -> list[tuple[str, str]]:
    """The lines of the table: subject and text."""
    pictures, captions = survey.pictures, survey.captions
    lines = [("pictures", _rows(survey)), ("sample", _sample(pictures))]
    if pictures.sides:
        lines += [("sides", _sides(pictures)), ("aspects", _aspects(pictures))]
        lines.append(("formats", _counted(pictures.formats)))
        lines.append(("copies", _copies(pictures)))
    lines.append(("captions", _captions(captions, survey.rows)))
    if captions.own + captions.classes_only:
        lines.append(("texts", _texts(captions)))
        lines.append(("such as", "; ".join(repr(text[:80]) for text in captions.examples)))
    lines.append(("licences", _counted(survey.licences) + _card(survey)))
    lines.append(("opted out", str(survey.opted_out)))
    if survey.splits:
        lines.append(("splits", _counted(survey.splits, "file")))
    return [*lines, *(("note", note) for note in survey.notes)]


def reason_table(proposal: Proposal) -> Table:
    """The settings that were chosen, and why."""
    from rich.table import Table

    table = Table(title="Proposed settings", title_justify="left")
    for name in ("setting", "value", "why"):
        table.add_column(name, overflow="fold")
    for reason in proposal.reasons:
        table.add_row(reason.setting, _plain(reason.value), _plain(reason.why))
    return table


def remark_line(remark: Remark) -> str:
    """A remark in words, with what to do on a second line."""
    kind = "wrong" if remark.is_error else "unusual"
    value = f" = {remark.value}" if remark.value else ""
    return printable(f"{kind}: {remark.setting}{value}: {remark.what}.\n  {remark.next_step}")


def _plain(text: str) -> Text:
    """A text of strangers, without markup and control characters."""
    from rich.text import Text

    return Text(printable(text))


def survey_object(survey: Survey) -> dict[str, Any]:
    """The survey for programs."""
    pictures, captions = survey.pictures, survey.captions
    return {
        "source": survey.source.model_dump(mode="json", exclude_none=True),
        "rows": survey.rows,
        "left_out": survey.dropped,
        "opted_out": survey.opted_out,
        "licences": survey.licences,
        "card_licence": survey.card_licence,
        "splits": survey.splits,
        "notes": list(survey.notes),
        "captions": {
            "own": captions.own,
            "classes_only": captions.classes_only,
            "without": captions.without,
            "distinct": captions.distinct,
            "several": captions.several,
            "origins": captions.origins,
            "classes": captions.class_names,
            "words": {"median": captions.words_median, "p95": captions.words_p95, "longest": captions.words_longest},
            "language": captions.language,
            "examples": list(captions.examples),
            "fields_seen": list(captions.fields_seen),
        },
        "pictures": {
            "sampled": pictures.sampled,
            "usable": pictures.usable,
            "faults": pictures.faults,
            "duplicates": pictures.duplicates,
            "near_duplicates": pictures.near_duplicates,
            "formats": pictures.formats,
            "side_px": {f"p{share}": pictures.side_at(share / 100) for share in (0, 10, 50, 90, 100)},
            "aspect": {f"p{share}": round(pictures.aspect_at(share / 100), 3) for share in (50, 90, 100)},
        },
    }


def proposal_object(proposal: Proposal) -> dict[str, Any]:
    """The proposal for programs."""
    return {
        "settings": proposal.config.model_dump(mode="json", exclude_none=True),
        "reasons": [vars(reason) for reason in proposal.reasons],
    }


def _rows(survey: Survey) -> str:
    left_out = {reason: count for reason, count in survey.dropped.items() if count}
    return f"{survey.rows}" + (f"; left out: {_counted(left_out)}" if left_out else "")


def _sample(pictures: Pictures) -> str:
    text = f"{len(pictures.sides)} of {pictures.sampled} decoded, {pictures.usable} usable"
    return f"{text}; {_counted(pictures.faults)}" if pictures.faults else text


def _sides(pictures: Pictures) -> str:
    low, high = pictures.sides[0], pictures.sides[-1]
    if low == high:
        return f"the shorter is {low} px in all"
    return (
        f"the shorter is {low} to {high} px, median {pictures.side_at(0.5)} px, "
        f"at least {pictures.side_at(0.1)} px in nine of ten"
    )


def _aspects(pictures: Pictures) -> str:
    if pictures.aspects[-1] == 1:
        return "square"
    return f"longer over shorter: median {pictures.aspect_at(0.5):.2f}, at most {pictures.aspects[-1]:.2f}"


def _copies(pictures: Pictures) -> str:
    return f"in the sample {pictures.duplicates} exact, {pictures.near_duplicates} nearly the same"


def _captions(captions: Captions, rows: int) -> str:
    parts = [f"{captions.own} of {rows} ({captions.own / rows:.0%}) {_have(captions.own)} their own"]
    places = [f"{count} from {origin}" for origin, count in captions.origins.items() if origin != "class"]
    if places:
        parts[0] += f": {', '.join(places)}"
    if captions.classes_only:
        names = captions.class_names
        have = f"{captions.classes_only} {_have(captions.classes_only)}"
        parts.append(f"{have} a class alone: {len(names)} classes, {_counted(names)}")
    if captions.without:
        parts.append(f"{captions.without} {_have(captions.without)} none")
    if captions.without and captions.fields_seen:
        parts.append(f"fields seen: {', '.join(captions.fields_seen[:8])}")
    return "; ".join(parts)


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _texts(captions: Captions) -> str:
    distinct = f"{captions.distinct}{' or more' if captions.distinct >= MAX_DISTINCT else ''} different"
    words = (
        f"{captions.words_median} words in the median, {captions.words_p95} at 95 %, at most {captions.words_longest}"
    )
    pictures = "picture has" if captions.several == 1 else "pictures have"
    several = f"; {captions.several} {pictures} several" if captions.several else ""
    return f"{captions.language}; {distinct}; {words}{several}"


def _card(survey: Survey) -> str:
    return f"; the data set's card says {survey.card_licence}" if survey.card_licence else ""


def _counted(counts: dict[str, int], unit: str = "") -> str:
    """Counts in words, the largest first: "12 png, 3 jpg and 4 others"."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = [f"{count} {_of(unit, count)}{name}" for name, count in ordered[:_SHOWN]]
    rest = sum(count for _, count in ordered[_SHOWN:])
    return ", ".join(shown) + (f" and {rest} others" if rest else "")


def _of(unit: str, count: int) -> str:
    return f"{unit if count == 1 else f'{unit}s'} of " if unit else ""
