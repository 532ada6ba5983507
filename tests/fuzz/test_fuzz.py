"""No bytes of a stranger raise anything but the typed refusal of their parser: `make fuzz SECONDS=60` for longer."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from fuzz_bytes import damaged
from fuzz_parsers import PARSERS, Parser

SECONDS = float(os.environ.get("FUZZ_SECONDS", "6"))
# The suite tries the same documents each time, so that it fails only for a change; `make fuzz` tries others.
NEW_SEED = random.SystemRandom().randrange(2**32) if "FUZZ_SECONDS" in os.environ else 0
SEED = int(os.environ.get("FUZZ_SEED", NEW_SEED))
LONGEST_S = 60.0
"""For one document of a few kilobytes, on a busy machine."""


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_sound_documents_are_parsed(parser: Parser, tmp_path: Path):
    parsed = [parser.parse(seed, tmp_path) for seed in parser.seeds]
    assert None not in parsed


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", PARSERS)
def test_damaged_documents_are_parsed_or_refused(name: str, tmp_path: Path):
    parser, rng = PARSERS[name], random.Random(f"{SEED} {name}")
    ends_at = time.monotonic() + SECONDS / len(PARSERS)
    count = 0
    while time.monotonic() < ends_at or count < 20:
        data, began = damaged(parser.seeds, rng), time.monotonic()
        count += 1
        try:
            parser.parse(data, tmp_path)
        except parser.refusals:
            pass
        except Exception as error:
            pytest.fail(f"FUZZ_SEED={SEED}, document {count}: {type(error).__name__}: {error}\n{data!r}")
        assert time.monotonic() - began < LONGEST_S, f"FUZZ_SEED={SEED}, document {count}: {data!r}"
    print(f"{name}: {count} documents, FUZZ_SEED={SEED}")
