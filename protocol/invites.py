"""An invite as text: what `paris-coord invite` prints and `paris-node join --invite` takes."""

from __future__ import annotations

import base64
import binascii
from typing import cast

from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import RecordError
from paris.protocol.records import Invite


def invite_text(envelope: Envelope[Invite]) -> str:
    """A sealed invite without spaces, quotes or line breaks."""
    return base64.urlsafe_b64encode(envelope.data).decode("ascii")


def open_invite(sealed: bytes, *, run_id: str, coordinator: str | None, now: float) -> Envelope[Invite]:
    """Check a sealed invite.

    Args:
        sealed: The record's bytes.
        run_id: The run.
        coordinator: The run's pinned public key; None accepts the key whose fingerprint is in the run id.
        now: UTC seconds.

    Raises:
        ParisError: It is none of this run, or over.
    """
    envelope = open_envelope(sealed, run_id=run_id, coordinator=coordinator, now=now)
    if not isinstance(envelope.payload, Invite):
        raise RecordError(f"A {envelope.kind} record is no invite.")
    return cast(Envelope[Invite], envelope)


def sealed_invite(text: str) -> bytes:
    """The record in an invite's text.

    Raises:
        RecordError: The text is cut or damaged.
    """
    try:
        return base64.b64decode(text.strip(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError(
            "The invite is not whole.", "Copy all of the line that `paris-coord invite` printed."
        ) from error
