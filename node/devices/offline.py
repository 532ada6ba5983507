"""Commands that do a node's work while none runs, such as `hand-in`: for the home, and for the nodes of its devices."""

from __future__ import annotations

from dataclasses import replace

from paris.node.join.request import Beside, Request
from paris.node.machine.home import Home
from paris.protocol.hub_layout import RUN_FILE


def requests_of(request: Request) -> dict[str, Request]:
    """What is asked, of each home that has work for it: by the node's name, empty for the home itself.

    Args:
        request: Of the home.

    Returns:
        The home's own alone where no home has unfinished work.

    Raises:
        SettingsError: A setting is invalid.
        RecordError, NewerFileError: The record of a task cannot be read.
    """
    home, flags = Home(request.home), dict(request.flags)
    if len(request.config().devices) > 1:
        flags["device"] = "cpu"  # nothing is trained
    own = replace(request, flags=flags)
    run = str(home.run_folder(request.run) / RUN_FILE) if request.run in home.run_ids() else request.run
    made = {
        name: replace(own, run=run, home=other.path, flags={**flags, "device": "cpu"}, beside=Beside(home.path))
        for name, other in home.of_devices().items()
        if _has_work(other)
    }
    return {"": own, **made} if _has_work(home) or not made else made


def _has_work(home: Home) -> bool:
    """Whether a task of any run is unfinished, or given up without the coordinator's knowledge."""
    return any(
        folder.is_unreported or home.unfinished(run_id) is not None
        for run_id in home.run_ids()
        for folder, _ in home.units(run_id)
    )
