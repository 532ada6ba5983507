"""`paris-coord leaderboard`: the volunteers by their verified steps. Reads only the state file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.reading import read_state
from paris.protocol.printable import printable


def read_leaderboard(run: RunDir) -> list[dict[str, Any]]:
    """Read the credits of a run.

    Returns:
        For each volunteer the fields of `Credit`, the most steps first.
    """
    return [asdict(credit) for credit in credits_of(read_state(run))]


def print_leaderboard(rows: list[dict[str, Any]]) -> None:
    """Print the credits as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    more = [name for name in ("repeated_steps", "audited_steps") if any(row[name] for row in rows)]
    table = Table(caption="" if rows else "No work is verified yet.")
    table.add_column("volunteer")
    for column in ("steps", "share", "hours", *(name.replace("_", " ") for name in more)):
        table.add_column(column, justify="right")
    for row in rows:
        cells = [f"{row['steps']:,}", f"{row['share']:.1%}", f"{row['seconds'] / 3600:.1f}"]
        cells += [f"{row[name]:,}" for name in more]
        table.add_row(Text(printable(f"{row['name']} ({row['public_key'][:8]})")), *cells)
    Console().print(table)
