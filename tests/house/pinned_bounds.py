"""Every bound, default, pattern, waiting time and code of records, settings and their rules, a line for each.

Regenerate the pinned list after a decision to change one of them:

    python tests/house/pinned_bounds.py > tests/house/bounds.txt
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

from paris.protocol.errors import ParisError

MODULES = (
    "paris.protocol.admission",
    "paris.protocol.audit_order",
    "paris.protocol.envelope",
    "paris.protocol.errors",
    "paris.protocol.limits",
    "paris.protocol.payload",
    "paris.protocol.refusals",
    "paris.protocol.sealer",
    "paris.protocol.telemetry",
    "paris.protocol.chain",
    "paris.protocol.run_records",
    "paris.protocol.work_records",
    "paris.protocol.shard_request",
    "paris.protocol.audits",
    "paris.protocol.child_output",
    "paris.protocol.draws",
    "paris.protocol.hub_answers",
    "paris.protocol.keys",
    "paris.protocol.leases",
    "paris.protocol.manifest",
    "paris.protocol.printable",
    "paris.protocol.runid",
    "paris.protocol.secrets",
    "paris.protocol.size_needs",
    "paris.protocol.version",
    "paris.protocol.want_work",
    "paris.protocol.addresses",
    "paris.protocol.dht.pinned",
    "paris.protocol.record_file",
    "paris.protocol.record_shelves",
    "paris.node.machine.config",
    "paris.coordinator.decisions.audits",
    "paris.coordinator.decisions.baits",
    "paris.coordinator.decisions.challenges",
    "paris.coordinator.state.credits",
    "paris.coordinator.decisions.forgetting",
    "paris.coordinator.decisions.intake",
    "paris.coordinator.decisions.invited",
    "paris.coordinator.decisions.leases",
    "paris.coordinator.decisions.legs",
    "paris.coordinator.decisions.observations",
    "paris.coordinator.decisions.parallel",
    "paris.coordinator.decisions.policy",
    "paris.coordinator.decisions.trust",
    "paris.coordinator.verify.bounds",
    "paris.coordinator.verify.claims",
    "paris.coordinator.verify.curves",
    "paris.coordinator.verify.header",
    "paris.coordinator.verify.reference_file",
    "paris.coordinator.verify.report",
    "paris.coordinator.verify.spectra",
    "paris.coordinator.verify.structure_rung",
    "paris.node.retry",
    "paris.node.fetching.bandwidth",
    "paris.node.fetching.cache",
    "paris.node.fetching.download",
    "paris.node.fetching.fetcher",
    "paris.node.fetching.queue",
    "paris.node.fetching.shared_files",
    "paris.node.swarm.want_work",
    "paris.node.machine.garbage",
    "paris.node.machine.home",
    "paris.node.machine.unit",
    "paris.node.machine.unit_formats",
    "paris.node.sharing.members",
    "paris.node.sharing.trust",
    "paris.node.work.given_up",
    "paris.node.work.verdict",
)
_FOR_PEOPLE = ("title", "description")


def lines_of(name: str) -> Iterator[str]:
    """The lines of a module: its constants, codes, dataclasses' defaults, and models' fields as JSON schemas."""
    module = importlib.import_module(name)
    for key, value in vars(module).items():
        if key.isupper() and isinstance(value, int | float | str | dict | tuple):
            yield f"{name}.{key} {value!r}"
        elif key.isupper() and isinstance(value, set | frozenset):
            yield f"{name}.{key} {sorted(value)!r}"
        elif key.isupper() and isinstance(value, re.Pattern):
            yield f"{name}.{key} {value.pattern!r}"
        elif isinstance(value, type) and value.__module__ == name and is_dataclass(value):
            for one in fields(value):
                if one.default is not MISSING:
                    yield f"{name}.{key}.{one.name} {one.default!r}"
        elif isinstance(value, type) and value.__module__ == name and issubclass(value, Enum):
            yield f"{name}.{key} {[member.value for member in value]}"
        elif isinstance(value, type) and value.__module__ == name and issubclass(value, ParisError):
            yield f"{name}.{key} exit code {value.exit_code}"
        elif isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == name:
            schema = value.model_json_schema()
            required = schema.get("required", [])
            yield f"{name}.{key} {json.dumps(value.model_config, sort_keys=True)}"
            for field, bounds in schema.get("properties", {}).items():
                needed = " required" * (field in required)
                yield f"{name}.{key}.{field}{needed} {json.dumps(_bare(bounds), sort_keys=True)}"


def _bare(schema: Any) -> Any:
    """A field's schema without what only people read."""
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key not in _FOR_PEOPLE}
    return [_bare(value) for value in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    print("\n".join(line for name in MODULES for line in lines_of(name)))
