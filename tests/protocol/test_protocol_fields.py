"""Numbers of records are finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from paris.protocol.envelope import _Wire
from paris.protocol.record_rules import RECORD_RULES

MODELS = (_Wire, *(rule.payload for rule in RECORD_RULES.values()))


def float_schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas of a model's floats; those among the choices of a setting are left to canonical JSON."""
    if isinstance(schema, dict):
        if schema.get("type") == "float":
            yield schema
        schema = [part for name, part in schema.items() if name != "choices"]
    if isinstance(schema, list | tuple):
        for part in schema:
            yield from float_schemas(part)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_number_of_a_record_is_infinite_or_nan(model: type[BaseModel]):
    floats = list(float_schemas(model.__pydantic_core_schema__))
    assert [schema for schema in floats if schema.get("allow_inf_nan") is not False] == []
