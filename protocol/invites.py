"""An invite as text, and in a want: what `paris-coord invite` prints and `paris-node join --invite` takes.

The text is the sealed invite and the invite's private key. Wants can be read by everybody, so they carry the sealed
invite and a signature of that key over the volunteer's own; from these nobody can make a want for another volunteer.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import cast

from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import RecordError
from paris.protocol.run_records import Invite
from paris.protocol.signing import Identity, verify_signature
from paris.protocol.work_records import Want


@dataclass(frozen=True)
class HeldInvite:
    """An invite with its private key."""

    envelope: Envelope[Invite]
    seed: bytes

    @property
    def text(self) -> str:
        """What is passed on: without spaces, quotes or line breaks."""
        return f"{base64.urlsafe_b64encode(self.envelope.data).decode('ascii')}.{self.seed.hex()}"

    def proof_for(self, volunteer: str) -> str:
        """The signature that shows the invite for one volunteer's key."""
        return Identity.of_seed(self.seed).sign(_message(self.envelope.run_id, volunteer))


def new_invite(uses: int) -> tuple[Invite, bytes]:
    """An invite to be sealed, and the seed of its private key."""
    seed = secrets.token_bytes(32)
    return Invite(invite_id=secrets.token_hex(16), uses=uses, key=Identity.of_seed(seed).public_key), seed


def open_held(text: str, *, run_id: str, coordinator: str | None, now: float) -> HeldInvite:
    """Check an invite's text.

    Raises:
        RecordError: The text is cut or damaged.
        ParisError: It is none of this run, or over.
    """
    sealed, _, seed = text.strip().partition(".")
    not_whole = RecordError("Its text is not whole.", "Copy all of the line that `paris-coord invite` printed.")
    try:
        held = bytes.fromhex(seed)
        public_key = Identity.of_seed(held).public_key
        data = base64.b64decode(sealed, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise not_whole from error
    envelope = _open(data, run_id, coordinator, now)
    if envelope.payload.key != public_key:
        raise not_whole
    return HeldInvite(envelope, held)


def open_shown(want: Envelope[Want], *, coordinator: str | None, now: float) -> Invite | None:
    """Check the invite in a want; None if it has none.

    Args:
        want: A valid want.
        coordinator: The run's pinned public key; None accepts the key whose fingerprint is in the run id.
        now: UTC seconds.

    Raises:
        ParisError: It is none of this run, or over, or was not shown by one who holds it for the signer.
    """
    if want.payload.invite is None:
        return None
    invite = _open(want.payload.invite.encode(), want.run_id, coordinator, now).payload
    if want.payload.invite_proof is None:
        raise RecordError("The want has an invite without its proof.")
    verify_signature(invite.key, _message(want.run_id, want.signer), want.payload.invite_proof)
    return invite


def _message(run_id: str, volunteer: str) -> bytes:
    return f"paris-invite-v1\n{run_id}\n{volunteer}".encode("ascii")


def _open(sealed: bytes, run_id: str, coordinator: str | None, now: float) -> Envelope[Invite]:
    envelope = open_envelope(sealed, run_id=run_id, coordinator=coordinator, now=now)
    if not isinstance(envelope.payload, Invite):
        raise RecordError(f"A {envelope.kind} record is no invite.")
    return cast(Envelope[Invite], envelope)
