"""The invite that a volunteer joined with, kept in the home."""

from __future__ import annotations

import time
from pathlib import Path

from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError, RecordError
from paris.protocol.invites import open_invite, sealed_invite
from paris.protocol.private_files import replace_private
from paris.protocol.records import Invite, RunSpec


def find_invite(path: Path, text: str | None, run: Envelope[RunSpec]) -> Envelope[Invite] | None:
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
        sealed = sealed_invite(text)
        try:
            envelope = open_invite(sealed, run_id=run.run_id, coordinator=run.signer, now=time.time())
        except ParisError as error:
            raise RecordError(f"The invite is not valid: {error.what}", "Ask the organiser for another one.") from error
        replace_private(path, sealed)
        return envelope
    try:
        return open_invite(path.read_bytes(), run_id=run.run_id, coordinator=run.signer, now=time.time())
    except (OSError, ParisError):
        return None  # there is none, or it is over
