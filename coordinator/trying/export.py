"""`paris-coord try MODEL --export FOLDER PROMPT...`: the answers as files that a browser opens without a server.

index.html  try.css  pictures/1.png  pictures/1-step-2.png ...  traces/1.json
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from paris.coordinator.children import Children
from paris.coordinator.console import progress_bar, say
from paris.coordinator.errors import WorkerError
from paris.coordinator.run.directory import require_empty, require_writable
from paris.coordinator.trying.messages import About, Ask, Drawn, Refused, Source
from paris.coordinator.trying.process import ModelProcess
from paris.coordinator.trying.rendering import ASSETS, make_environment
from paris.experts.files import copy_whole, write_whole


class Picture(NamedTuple):
    """An answer, and where its files are."""

    ask: Ask
    drawn: Drawn
    source: Callable[[int], str]
    """Of a stage, relative to index.html."""


def export(source: Source, asks: Sequence[Ask], out: Path) -> None:
    """Draw pictures and write them with their traces into a folder.

    Args:
        source: The model.
        asks: What to draw.
        out: An empty or missing folder.

    Raises:
        RunDirError: The folder has files, or cannot be written; nothing is drawn.
        WorkerError: The model cannot be loaded, or cannot draw one of the pictures; there is no index.html.
    """
    require_empty(out)
    require_writable(out)
    with TemporaryDirectory(prefix="paris-try-") as logs:
        children = Children(Path(logs))
        try:
            process = ModelProcess(children, source)
            about = process.start()
            with progress_bar("pictures", len(asks), shown=True) as show:
                write_gallery(about, _answers(process, asks, show), out)
        finally:
            children.stop()
    say(f"Wrote {len(asks)} pictures to {out}. Open {out / 'index.html'} in a browser.")


def write_gallery(about: About, answers: Iterable[tuple[Ask, Drawn]], out: Path) -> None:
    """Write each answer as it comes, and index.html last.

    Args:
        about: The model.
        answers: What was asked, and the picture.
        out: The folder; made if it is missing.
    """
    pictures = [_write(out, number, ask, drawn) for number, (ask, drawn) in enumerate(answers, start=1)]
    copy_whole(ASSETS / "try.css", out / "try.css")
    html = make_environment().get_template("export.html").render(about=about, pictures=pictures)
    write_whole(out / "index.html", html.encode())


def _answers(process: ModelProcess, asks: Sequence[Ask], show: Callable[[int], None]) -> Iterator[tuple[Ask, Drawn]]:
    for number, ask in enumerate(asks, start=1):
        drawn = process.draw(ask)
        if isinstance(drawn, Refused):
            raise WorkerError(f"{ask.prompt!r} cannot be drawn: {drawn.message}")
        yield ask, drawn
        show(number)


def _write(out: Path, number: int, ask: Ask, drawn: Drawn) -> Picture:
    last = len(drawn.stages) - 1

    def name(place: int) -> str:
        return f"pictures/{number}.png" if place == last else f"pictures/{number}-step-{drawn.stages[place].step}.png"

    for place, stage in enumerate(drawn.stages):
        write_whole(out / name(place), base64.b64decode(stage.picture))
    trace = {**ask.model_dump(), "experts": drawn.experts, "times": drawn.times, "weights": drawn.weights}
    write_whole(out / "traces" / f"{number}.json", json.dumps(trace).encode())
    return Picture(ask, drawn, name)
