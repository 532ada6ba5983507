"""The base of all payloads (`run_records.py`, `work_records.py`)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Payload(BaseModel):
    """Base of all payloads: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    kind: ClassVar[str]
    """Name of the record kind; parts of records (Shard, Rung, Head, SubmittedFile, SharedFile) have none."""
    later_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after the first release. Where they are None they are left out, so that records of runs that do
    not use them keep the bytes that older nodes know."""

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        return {name: value for name, value in dumped.items() if value is not None or name not in self.later_fields}
