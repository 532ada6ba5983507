"""Rewrites the golden records and the samples in docs/protocol/.

Run it (`python tests/protocol/write_golden.py`) only after a deliberate change of the wire format, and raise
PROTOCOL_VERSION if an older peer would misread the change.
"""

import json
import re
from pathlib import Path

from protocol_samples import (
    GOLDEN,
    LEG_SAMPLES,
    SAMPLES,
    SIZE_SAMPLES,
    TASK,
    body_of,
    golden_bytes,
    sealed,
    signed_bytes,
)

PAGES = sorted((Path(__file__).parents[2] / "docs" / "protocol").glob("*.md"))
_SAMPLE = re.compile(r"(<!-- sample: (?P<name>[a-z-]+) -->\n```json\n).*?(\n```\n)", re.DOTALL)


def golden_records() -> dict[str, bytes]:
    """Every golden record, made from the fixed keys and times."""
    samples = SAMPLES | LEG_SAMPLES | SIZE_SAMPLES
    records = {kind: sealed(payload, identity).data for kind, (payload, identity) in samples.items()}
    task = sealed(TASK)
    for name, version in (("older-version", 0), ("newer-version", 2)):
        records[name] = signed_bytes(body_of(task, version=version), SAMPLES["task"][1])
    return records


def samples_in_doc(text: str) -> dict[str, object]:
    """The samples in a text by name, as JSON values."""
    return {
        match["name"]: json.loads(match[0].split("```json\n", 1)[1].rsplit("```", 1)[0])
        for match in _SAMPLE.finditer(text)
    }


def with_samples(text: str) -> str:
    """The text with every sample replaced by the golden record of its name."""

    def show(match: re.Match[str]) -> str:
        record = json.loads(golden_bytes(match["name"]))
        return match[1] + json.dumps(record, indent=2, ensure_ascii=False) + match[3]

    return _SAMPLE.sub(show, text)


if __name__ == "__main__":
    for name, data in golden_records().items():
        (GOLDEN / f"{name}.json").write_bytes(data + b"\n")
    for page in PAGES:
        page.write_text(with_samples(page.read_text("utf-8")), "utf-8")
