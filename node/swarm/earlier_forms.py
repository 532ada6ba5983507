"""Records in the form of earlier versions, for runs whose peers refuse what those did not know."""

from __future__ import annotations

from paris.protocol.addresses import is_relayed
from paris.protocol.payload import Payload
from paris.protocol.work_records import Heartbeat, Holding, Want


def earlier_form(payload: Payload) -> Payload | None:
    """A record as versions before audits, pauses and relays wrote it.

    Without audits a node is given none, as is right where nobody asks for them. A pause looks like training that
    makes no progress, and keeps the lease for as long. A holding names only the addresses that need no relay.

    Returns:
        None where it is the same record, and for a holding whose addresses all need a relay.
    """
    if isinstance(payload, Want) and payload.audits is not None:
        return payload.model_copy(update={"audits": None})
    if isinstance(payload, Heartbeat) and payload.state == "paused":
        return payload.model_copy(update={"state": "training", "pause_reason": None})
    if isinstance(payload, Holding):
        direct = tuple(address for address in payload.addresses if not is_relayed(address))
        if direct and direct != payload.addresses:
            return payload.model_copy(update={"addresses": direct})
    return None
