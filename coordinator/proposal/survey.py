"""Looks at a source before anything is written: every row's metadata, and a bounded sample of the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from paris.coordinator.prepare.errors import EmptySourceError, PrepareError, SourceFormatError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources import read_source
from paris.coordinator.prepare.sources.fields import OPTED_OUT, plain_name
from paris.coordinator.prepare.sources.hub import HubTree
from paris.coordinator.prepare.sources.policy import OTHER_SPLIT
from paris.coordinator.prepare.sources.settings import FilesSource, HubSource, OwnSource
from paris.coordinator.proposal.detecting import NO_HINTS, Hints, detect
from paris.coordinator.proposal.findings import Captions, Survey
from paris.coordinator.proposal.fingerprint import source_state
from paris.coordinator.proposal.looking import SAMPLE_ROWS, RowSample, look_at
from paris.coordinator.proposal.option_words import named_by_options
from paris.coordinator.proposal.texts import CaptionCounts
from paris.protocol.printable import on_one_line

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); stages "list", whose total is unknown and 0, and "look"."""
_PROGRESS_ROWS = 1000
_MAX_LICENCES = 1000
_SHOWN_FIELDS = 20
_LIKELY_NAMES = ("prompt", "description", "alt", "alt_text", "title", "sentence", "en", "label", "name", "category")
_S = TypeVar("_S", bound=FilesSource)


def survey(
    place: str,
    progress: Progress = lambda stage, done, total: None,
    *,
    hints: Hints = NO_HINTS,
    sample_rows: int = SAMPLE_ROWS,
) -> Survey:
    """Look at a source: list all rows, decode a sample.

    Args:
        place: A folder, a file, `org/name` of a data set, or the address of its page.
        progress: Called as the work proceeds.
        hints: What is known about it.
        sample_rows: Pictures to decode, at most.

    Raises:
        PrepareError: The source is missing, empty, malformed or cannot be reached. Nothing is written in any case.
    """
    with named_by_options():
        return _survey(place, progress, hints, sample_rows)


def _survey(place: str, progress: Progress, hints: Hints, sample_rows: int) -> Survey:
    found = detect(place, hints)
    source, card_licence = found.source, ""
    if isinstance(source, HubSource):
        source, card_licence = _pinned(source, place)
    state = source_state(source)
    listed = _list(source, progress, sample_rows)
    if hints.caption_column is not None:
        _require_seen(hints.caption_column, listed.captions)
    if not listed.captions.own and source.caption_column is None:
        source, listed = _with_likely_column(source, listed, progress, sample_rows)
    looked = _look(source, listed, progress)
    splits = found.splits or looked.splits
    return replace(looked, place=place, card_licence=card_licence, splits=splits, notes=found.notes, state=state)


def survey_source(source: OwnSource, progress: Progress = lambda stage, done, total: None) -> Survey:
    """Look at a source with known settings; arguments and errors as of `survey`."""
    plain = _changed(source, class_captions=False)
    return _look(plain, _list(plain, progress, SAMPLE_ROWS), progress)


def _look(source: OwnSource, listed: _Listed, progress: Progress) -> Survey:
    """Count the classes of rows without captions, and decode the sample."""
    if listed.captions.without:
        listed = listed.with_classes(_list(_changed(source, class_captions=True), progress, 0).captions)
    pictures = look_at(listed.sample.rows(), source, lambda done, total: progress("look", done, total))
    return Survey(
        source=source,
        place=source.repo if isinstance(source, HubSource) else str(source.path),
        rows=listed.rows,
        dropped=dict(listed.dropped.most_common()),
        captions=listed.captions,
        pictures=pictures,
        licences=dict(listed.licences.most_common()),
        opted_out=listed.dropped[OPTED_OUT],
        splits=dict(listed.splits),
    )


@dataclass(frozen=True)
class _Listed:
    """One pass over the rows."""

    rows: int
    dropped: Counter[str]
    splits: Counter[str]
    licences: Counter[str]
    captions: Captions
    sample: RowSample

    def with_classes(self, captions: Captions) -> _Listed:
        """The same pass with the captions of another one, which took classes too."""
        return replace(self, captions=replace(captions, fields_seen=self.captions.fields_seen))


def _list(source: OwnSource, progress: Progress, sample_rows: int) -> _Listed:
    """List all rows.

    Raises:
        EmptySourceError: There is no row.
    """
    counts, sample = CaptionCounts(), RowSample(source, sample_rows)
    dropped, splits, licences = Counter[str](), Counter[str](), Counter[str]()
    rows = 0
    for row in read_source(source):
        if isinstance(row, Dropped):
            dropped[row.reason] += 1
            splits[row.detail] += row.reason == OTHER_SPLIT
            continue
        _count(row, counts, licences)
        sample.add(row)
        rows += 1
        if not rows % _PROGRESS_ROWS:
            progress("list", rows, 0)
    progress("list", rows, rows)
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise EmptySourceError(f"{source.name}: no picture can be used: {reasons}.", "Check the files.")
    return _Listed(rows, dropped, +splits, licences, counts.counts(), sample)


def _count(row: Item, counts: CaptionCounts, licences: Counter[str]) -> None:
    counts.add(row)
    known = row.licence in licences or len(licences) < _MAX_LICENCES
    licences[row.licence if known else "other licences"] += 1


def _pinned(source: HubSource, place: str) -> tuple[HubSource, str]:
    """The source at its present commit, so that it cannot change later, and the licence of its card.

    Raises:
        PrepareError: As `HubTree`; of a mere name it says that there is no such folder either.
    """
    try:
        tree = HubTree(source)
    except PrepareError as error:
        if "://" in place:
            raise
        what = error.what[:1].lower() + error.what[1:]
        raise type(error)(f"There is no folder {on_one_line(place)} here, and {what}", error.next_step) from error
    return _changed(source, revision=tree.commit), tree.card_licence


def _with_likely_column(
    source: OwnSource, listed: _Listed, progress: Progress, sample_rows: int
) -> tuple[OwnSource, _Listed]:
    """Try the fields that were seen, the likeliest first, until one holds captions with letters."""
    for name in sorted(listed.captions.fields_seen, key=_likelihood):
        if _likelihood(name) >= len(_LIKELY_NAMES):
            break
        named = _changed(source, caption_column=name)
        again = _list(named, progress, sample_rows)
        if any(character.isalpha() for example in again.captions.examples for character in example):
            return named, again
    return source, listed


def _require_seen(name: str, captions: Captions) -> None:
    """Refuse a field that no row has; where captions were found, it was seen, or texts beside the pictures replace it.

    Raises:
        SourceFormatError: No row has it.
    """
    if captions.own or plain_name(name) in map(plain_name, captions.fields_seen):
        return
    seen = ", ".join(map(on_one_line, captions.fields_seen[:_SHOWN_FIELDS]))
    raise SourceFormatError(
        f"No picture has a field {on_one_line(name)!r}; {f'their fields: {seen}' if seen else 'they have no fields'}.",
        "Give one of them as --captions NAME." if seen else "Give --captions class or none, or a --captioner.",
    )


def _likelihood(name: str) -> int:
    """Rank of a field's name among those that captions have; -1 is the likeliest."""
    plain = plain_name(name)
    if any(word in plain.split("_") for word in ("caption", "captions", "text", "texts")):
        return -1
    return _LIKELY_NAMES.index(plain) if plain in _LIKELY_NAMES else len(_LIKELY_NAMES)


def _changed(source: _S, **fields: object) -> _S:
    return source.model_copy(update=fields)
