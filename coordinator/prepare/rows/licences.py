"""Canonical names of licences, and allow-lists of them.

"CC BY 4.0"  "cc-by-4.0"  "https://creativecommons.org/licenses/by/4.0/"  "Creative Commons Attribution 4.0"
-> cc-by-4.0, the identifier of the Hub's cards
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq

NOT_ALLOWED = "licence not allowed"
UNKNOWN = "unknown"
_URL = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero|mark))(?:/([0-9]+(?:\.[0-9]+)*))?"
    r"(?:/[a-z]{2})?(?:/(?:deed|legalcode)(?:\.[a-z-]+)*)?/?(?![a-z0-9/])"
)
_WORDS = {
    "attribution": "by",
    "noncommercial": "nc",
    "noderivatives": "nd",
    "noderivs": "nd",
    "sharealike": "sa",
}
_ELEMENTS = {"by", "nc", "nd", "sa"}
_SPLIT = {"non-commercial": "nc", "no-derivatives": "nd", "no-derivs": "nd", "share-alike": "sa"}
_TAIL = {"international", "intl", "generic", "unported", "license", "licence", "deed", "igo", "flickr", "public"}
_TAIL |= {"universal", "dedication", "domain", "creative", "commons", "the", "under"}
_COUNTRIES_TEXT = """
am ar at au az be bg br ca ch cl cn co cr cz de dk ec ee eg es fi fr ge gr gt hk hr hu ie il in it jp kr lu mk mt mx my
ng nl no nz pe ph pl pr pt ro rs se sg si th tw ua ug uk us ve vn za
"""
_COUNTRIES = frozenset(_COUNTRIES_TEXT.split())
"""Of the licences that were ported to a country's law, as in "CC BY-SA 3.0 DE"."""
_CC = re.compile(r"^(?:cc|creative-commons|attribution)(?:-|0|$)")
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_TWICE = re.compile(r"(.+?)\s*\((.+)\)\s*(.*)")
_PUBLIC = re.compile(
    r"^(?:(cc-?0|cc-zero|creative-commons-zero)|pdm|public-domain-mark)(?:-v?([0-9](?:\.[0-9])?))?((?:-[a-z]+)*)$"
)
_VERSION = re.compile(r"v?([0-9](?:\.[0-9])?)")
_HUB_NAMES = {
    *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0"),
    *("cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0"),
    *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "apache-2.0", "mit", "bsd-3-clause", "odc-by", "pddl", UNKNOWN),
}
_UNSPECIFIED = {"", "?", "none", "null", "n/a", "unknown", "unspecified"}


def normal_licence(text: str) -> str:
    """The canonical name of a licence; one of another family is returned in lower case with hyphens.

    A Creative Commons name of which any part is not understood is "unknown": the part may be a restriction.

    Args:
        text: A name, an SPDX identifier, or the address of a Creative Commons licence, or a name and its address.
    """
    lowered = _DASHES.sub("-", unicodedata.normalize("NFKC", text)).strip().lower()
    address = _URL.search(lowered)
    if address is None:
        return _named(lowered)
    beside = f"{lowered[: address.start()]} {lowered[address.end() :]}".strip(" ()[]<>,;:.-")
    found = _addressed(*address.groups())
    return found if not beside or _named(beside) in (found, found.rpartition("-")[0]) else UNKNOWN


def _addressed(kind: str | None, public: str | None, version: str | None) -> str:
    if public is not None:
        return _cc0(version or "") if public == "zero" else "pdm-1.0"
    elements = (kind or "").split("-")
    return _versioned(f"cc-{kind}", version or "") if _ELEMENTS.issuperset(elements) else UNKNOWN


def _named(lowered: str) -> str:
    """As `normal_licence`, of a text in lower case without an address."""
    if lowered in _UNSPECIFIED:
        return UNKNOWN
    twice = _TWICE.fullmatch(lowered)  # "Attribution 4.0 International (CC BY 4.0)"
    if twice is not None and _named(twice[2]) == _named(f"{twice[1]} {twice[3]}".strip()):
        return _named(twice[2])
    name = re.sub(r"[\s_/(),;:]+", "-", lowered).strip("-")
    public = _PUBLIC.match(name)
    if public is not None and all(part in _TAIL or part in _COUNTRIES for part in public[3].split("-")[1:]):
        return _cc0(public[2] or "") if public[1] else "pdm-1.0"
    return _cc_name(name) or (UNKNOWN if _CC.match(name) else name)


def _cc_name(name: str) -> str | None:
    """`cc-by-sa-4.0` for "cc-by-sa-4.0-international" or for the licence's title; None for any other text.

    The whole text must be understood: a missed "nc" would allow a licence that is not on the list.
    """
    name = name.removeprefix("creative-commons-").removeprefix("cc-")
    for words, short in _SPLIT.items():
        name = name.replace(words, short)
    parts = [_WORDS.get(part, part) for part in name.split("-")]
    elements = list(itertools.takewhile(_ELEMENTS.__contains__, parts))
    rest = parts[len(elements) :]
    version = _VERSION.fullmatch(rest[0]) if rest else None
    tail = rest[1:] if version is not None else rest
    if not elements or any(part not in _TAIL and part not in _COUNTRIES for part in tail):
        return None
    return _versioned("-".join(["cc", *elements]), version[1] if version is not None else "")


def _cc0(version: str) -> str:
    return _versioned("cc0", version or "1.0")


def _versioned(name: str, version: str) -> str:
    return f"{name}-{version if '.' in version else version + '.0'}" if version else name


def allowed_name(text: str) -> str:
    """A name of an allow-list: canonical, but "cc0" stays without a version and so allows all of them."""
    name = normal_licence(text)
    return "cc0" if name == "cc0-1.0" and "1" not in text else name


def is_allowed(licence: str, allowed: tuple[str, ...]) -> bool:
    """Whether a licence is on the list.

    Args:
        licence: Canonical name.
        allowed: Names from `allowed_name`; a name without a version ("cc-by") allows all its versions, but not other
            licences such as cc-by-nc.
    """
    return any(licence == name or re.fullmatch(re.escape(name) + r"-[0-9.]+", licence) for name in allowed)


def count_licences(attribution: Path) -> dict[str, int]:
    """Rows of each licence in an attribution file, the most frequent first."""
    counts: dict[str, int] = {}
    for batch in pq.ParquetFile(attribution).iter_batches(columns=["licence"]):
        for entry in batch.column(0).value_counts():
            name = entry["values"].as_py() or UNKNOWN
            counts[name] = counts.get(name, 0) + entry["counts"].as_py()
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def card_licences(attribution: Path) -> list[str]:
    """The licences as identifiers of the Hub's cards, "other" for those without one."""
    names = dict.fromkeys(name if has_hub_name(name) else "other" for name in count_licences(attribution))
    return list(names)


def has_hub_name(licence: str) -> bool:
    """Whether a licence's canonical name is an identifier of the Hub's cards."""
    return licence in _HUB_NAMES


def licence_table(attribution: Path) -> list[str]:
    """Rows of each licence, as the lines of a Markdown table."""
    counts = count_licences(attribution)
    return ["| licence of pictures | rows |", "| --- | --- |", *(f"| {name} | {n} |" for name, n in counts.items())]
