"""The invite that a volunteer joined with, kept in the home."""

from __future__ import annotations

import time
from pathlib import Path

from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError, RecordError
from paris.protocol.invites import HeldInvite, open_held
from paris.protocol.private_files import replace_private
from paris.protocol.run_records import RunSpec


def find_invite(path: Path, text: str | None, run: Envelope[RunSpec]) -> HeldInvite | None:
    """The invite to a run: the one that was given now, which is kept, or the one of an earlier join while it is valid.

    Args:
        path: Where it is kept.
        text: As `paris-coord invite` printed it; None: not given.
        run: The run.

    Raises:
        RecordError: The given one is damaged, of another run, or over.
        OSError: It cannot be kept.
    """
    if text is not None:
        try:
            held = open_held(text, run_id=run.run_id, coordinator=run.signer, now=time.time())
        except ParisError as error:
            raise RecordError(
                f"The invite is not valid: {error.what}",
                "Copy the whole line, or ask the organiser for another invite.",
            ) from error
        replace_private(path, held.text.encode("ascii"))
        return held
    try:
        return open_held(path.read_text("ascii"), run_id=run.run_id, coordinator=run.signer, now=time.time())
    except (OSError, ValueError, ParisError):
        return None  # there is none, or it is over
