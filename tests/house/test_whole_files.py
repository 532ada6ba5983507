"""Files are written whole: every write goes through `whole_file`, or is one of those that are listed here."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BARE_WRITE = re.compile(r"\.write_(?:text|bytes)\(|shutil\.copy\w*\(|json\.dump\(")
ALLOWED = {
    "experts/files.py",  # writes to the temporary file
    "node/machine/lock.py",  # the process number, for people; the lock is the kernel's
}


def test_no_file_is_written_under_its_own_name():
    found = {}
    for package in ("protocol", "experts", "node", "coordinator"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in ALLOWED and (lines := bare_writes(path.read_text("utf-8"))):
                found[name] = lines
    assert found == {}


def bare_writes(text: str) -> list[str]:
    """Lines that write, except below a `with whole_file(...) as partial` and to that."""
    return [line.strip() for line in text.splitlines() if BARE_WRITE.search(line) and "partial" not in line]
