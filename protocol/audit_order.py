"""What a lease of an audit says beyond other leases (`work_records.py`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from paris.protocol.fields import Bytes, CommitId, RelativePath, Sha256
from paris.protocol.payload import Payload


class AuditStart(Payload):
    """The state that an audit starts from: a snapshot whose three files are in one folder of the model repo.

    Digests and sizes are in the order of `hub_layout.STATE_FILES`.
    """

    previous: Sha256
    commitment: Sha256
    commit: CommitId
    """Of the model repo."""
    folder: RelativePath
    sha256: Annotated[tuple[Sha256, ...], Field(min_length=3, max_length=3)]
    bytes: Annotated[tuple[Bytes, ...], Field(min_length=3, max_length=3)]


class AuditOrder(Payload):
    """Makes a lease one of an audit: its steps are trained again, to compare their end with another's."""

    nonce: Sha256
    """Decides the projections of the sketch (`audits.py`); nobody knows it before the lease is granted."""
    start: AuditStart | None = None
    """None: the audit starts from the initial weights."""
