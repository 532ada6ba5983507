"""Field types of records: strict, bounded, without control characters or markup."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from paris.protocol.limits import MAX_SMALLER_SIZES

Scalar = bool | int | float | str
Settings = Annotated[dict[Annotated[str, StringConstraints(max_length=48)], Scalar], Field(max_length=48)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CommitId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RepoId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")]
TaskId = Annotated[str, StringConstraints(pattern=r"^(expert-[0-9]{1,4}(\.[1-9])?|router)$")]
"""See `paris.protocol.lanes` for the number after the point."""
LeaseId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
RelativePath = Annotated[
    str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
]
Text = Annotated[str, StringConstraints(max_length=300)]
PeerAddress = Annotated[
    str,
    StringConstraints(
        pattern=r"^/(ip4/[0-9.]{7,15}|ip6/[0-9a-f:.]{2,45})/tcp/[0-9]{1,5}"
        r"/p2p/[A-Za-z0-9]{40,64}(/p2p-circuit/p2p/[A-Za-z0-9]{40,64})?$"
    ),
]
"""Numeric addresses only: every reader would resolve a host name. One through a relay begins with the relay's."""
ShortText = Annotated[str, StringConstraints(max_length=80, pattern=r"^[^\x00-\x1f\x7f-\x9f<>|`\[\]]*$")]
"""Shown in terminals and model cards: no control characters, no markup."""
SealedLease = Annotated[str, StringConstraints(max_length=1500, pattern=r"^[\x20-\x7e]+$")]
"""The bytes of a lease's envelope, as text."""
Sketch = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{1366}==$")]
"""1024 bytes in base64: see `paris.protocol.audits`."""
SealedInvite = Annotated[str, StringConstraints(max_length=800, pattern=r"^[\x20-\x7e]+$")]
"""The bytes of an invite's envelope, as text."""
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Work = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""See `paris.protocol.want_work`."""
Bytes = Annotated[int, Field(ge=0, le=2**50)]
Steps = Annotated[int, Field(ge=0, le=10**9)]
SizeNumber = Annotated[int, Field(ge=1, le=MAX_SMALLER_SIZES)]
"""A place in the run's list of smaller sizes, from 1."""
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Timestamp = Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)]
"""UTC seconds since 1970."""
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
