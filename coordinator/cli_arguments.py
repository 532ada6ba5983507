"""Arguments that several commands of `paris-coord` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
