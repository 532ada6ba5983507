"""Which tests concern which module: only these run against its mutants, the quickest first."""

from __future__ import annotations

_PROTOCOL = "tests/protocol/test_"
_DECISIONS = ("tests/coordinator/decisions",)
_FETCHING = "tests/node/fetching/test_"

PLAN: dict[str, tuple[str, ...]] = {
    "protocol/canonical.py": (f"{_PROTOCOL}protocol_canonical.py",),
    "protocol/envelope.py": (f"{_PROTOCOL}protocol_envelope.py", f"{_PROTOCOL}protocol_golden.py"),
    "protocol/fields.py": (f"{_PROTOCOL}protocol_envelope.py", f"{_PROTOCOL}protocol_golden.py"),
    "protocol/keys.py": (f"{_PROTOCOL}protocol_keys.py",),
    "protocol/leases.py": (f"{_PROTOCOL}protocol_leases.py",),
    "protocol/manifest.py": (f"{_PROTOCOL}protocol_keys.py",),
    "protocol/record_rules.py": (f"{_PROTOCOL}protocol_envelope.py", f"{_PROTOCOL}protocol_golden.py"),
    "protocol/records.py": (f"{_PROTOCOL}protocol_envelope.py", f"{_PROTOCOL}protocol_golden.py"),
    "protocol/runid.py": (f"{_PROTOCOL}protocol_keys.py", f"{_PROTOCOL}protocol_signing.py"),
    "protocol/sealer.py": (f"{_PROTOCOL}sealer.py",),
    "protocol/shard_request.py": (f"{_PROTOCOL}shard_request.py",),
    "protocol/signing.py": (f"{_PROTOCOL}protocol_signing.py",),
    "protocol/validator.py": (f"{_PROTOCOL}protocol_validator.py",),
    "protocol/dht/storage.py": (f"{_PROTOCOL}dht_storage.py",),
    "node/fetching/bandwidth.py": (f"{_FETCHING}queue.py",),
    "node/fetching/cache.py": (f"{_FETCHING}cache.py",),
    "node/fetching/queue.py": (f"{_FETCHING}queue.py",),
    "node/fetching/urgency.py": (f"{_FETCHING}urgency.py",),
    "node/machine/unit.py": ("tests/node/machine/test_unit.py",),
    "node/retry.py": ("tests/node/test_retry.py",),
    "coordinator/decisions/intake.py": _DECISIONS,
    "coordinator/decisions/leases.py": _DECISIONS,
    "coordinator/decisions/tick.py": _DECISIONS,
    "coordinator/state/draft.py": _DECISIONS,
    "coordinator/service/executor.py": ("tests/coordinator/service/test_executor.py",),
    "coordinator/verify/header.py": ("tests/coordinator/verify/test_verify_header.py",),
    "coordinator/hub/accounts/auth.py": ("tests/coordinator/hub/test_hub_accounts.py",),
    "coordinator/hub/accounts/tickets.py": ("tests/coordinator/hub/test_hub_accounts.py",),
    "coordinator/hub/accounts/traffic.py": ("tests/coordinator/hub/test_hub_accounts.py",),
}
