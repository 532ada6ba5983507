"""What each part of the house may bring with it when it is imported, looked at in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
COMPUTES = ("torch", "transformers", "diffusers")
TRAVELS = ("hivemind", "huggingface_hub", "starlette")

NEEDS_NO_TORCH = {
    "protocol": ("paris.protocol", COMPUTES + TRAVELS),
    "protocol.dht": ("paris.protocol.dht", COMPUTES + TRAVELS),
    "protocol.dht.peer": ("paris.protocol.dht.peer", COMPUTES + TRAVELS),
    "coordinator.service": ("paris.coordinator.service.loop", COMPUTES),
    "coordinator.serving": ("paris.coordinator.service.startup", COMPUTES),
    "coordinator.tick": ("paris.coordinator.decisions.tick", (*COMPUTES, *TRAVELS, "sqlalchemy")),
    "coordinator.status": ("paris.coordinator.report.status", COMPUTES + TRAVELS),
    "coordinator.hub.app": ("paris.coordinator.hub.app", (*COMPUTES, "hivemind", "huggingface_hub")),
    "coordinator.page.app": ("paris.coordinator.page.app", (*COMPUTES, "hivemind", "huggingface_hub")),
    "coordinator.page.before": ("paris.coordinator.page.__main__", (*COMPUTES, "hivemind", "sqlalchemy", "jinja2")),
    "coordinator.planning": ("paris.coordinator.planning.build", COMPUTES + TRAVELS),
    "coordinator.cli.proposing": ("paris.coordinator.cli.proposing", (*COMPUTES, *TRAVELS, "daft")),
    "coordinator.demo.run": ("paris.coordinator.demo.run", COMPUTES + TRAVELS),
    "coordinator.demo.own_run": ("paris.coordinator.demo.own_run", COMPUTES),
    "node.agent": ("paris.node.work.agent", (*COMPUTES, "hivemind")),
    "node.joining": ("paris.node.join.joining", (*COMPUTES, "hivemind", "starlette", "jinja2")),
    "node.page": ("paris.node.page.server", (*COMPUTES, "hivemind", "huggingface_hub")),
    "experts": ("paris.experts", COMPUTES + TRAVELS),
}


def modules_after(*imports: str) -> set[str]:
    """Names of all modules that a new interpreter holds after these imports."""
    probe = (
        "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules, sep='\\n')"
    )
    answer = subprocess.run([sys.executable, "-c", probe, *imports], capture_output=True, text=True, timeout=DEADLINE_S)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.split())


@pytest.mark.parametrize("case", NEEDS_NO_TORCH)
def test_what_only_decides_or_talks_brings_nothing_that_computes(case: str):
    module, forbidden = NEEDS_NO_TORCH[case]
    assert sorted(modules_after(module) & set(forbidden)) == []


def test_every_protocol_module_imports_without_torch_and_without_the_hub():
    protocol = ROOT / "protocol"
    names = [".".join(path.relative_to(protocol).with_suffix("").parts) for path in sorted(protocol.rglob("*.py"))]
    # These run inside a started peer, which is where hivemind comes in.
    running = {
        f"dht.{name}"
        for name in (
            "daemon",
            "exchange",
            "line",
            "node",
            "node_ids",
            "pinned",
            "rpc",
            "shards",
            "storage",
            "validator_adapter",
        )
    }
    imports = [
        f"paris.protocol.{name}".removesuffix(".__init__").removesuffix(".") for name in names if name not in running
    ]
    assert sorted(modules_after(*imports) & {"torch", "hivemind", "huggingface_hub"}) == []


def test_a_running_peer_imports_no_torch():
    """`protocol/dht/lazy_hivemind.py`; with a new hivemind its list of packages may have to change."""
    modules = modules_after(
        *(f"paris.protocol.dht.{name}" for name in ("node", "exchange", "shards", "rpc", "storage"))
    )
    assert "hivemind.dht.node" in modules
    assert sorted(modules & {*COMPUTES, "hivemind.averaging", "hivemind.optim"}) == []


def test_every_name_of_hivemind_is_still_there():
    names = "from hivemind.dht import DHT; from hivemind.utils import nested_map"
    probe = f"import paris.protocol.dht, hivemind; {names}; print(nested_map, DHT, hivemind.Optimizer)"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=DEADLINE_S)
    assert "function nested_map" in answer.stdout, answer.stderr
    probe = "import paris.protocol.dht, hivemind; hivemind.no_such_name"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=DEADLINE_S)
    assert "AttributeError: module 'hivemind' has no attribute 'no_such_name'" in answer.stderr


def test_importing_a_package_writes_nothing_and_starts_no_thread():
    packages = "paris.protocol, paris.experts, paris.node, paris.coordinator"
    probe = f"import threading, {packages}; print(threading.active_count())"
    answer = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert (answer.stdout.split(), answer.stderr) == (["1"], "")
