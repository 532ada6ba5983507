"""What an expert of a smaller size needs: a part of the task's record."""

from __future__ import annotations

from paris.protocol.fields import Bytes
from paris.protocol.payload import Payload


class SizeNeeds(Payload):
    """Of a machine, at least."""

    min_memory_bytes: Bytes
    min_disk_bytes: Bytes
