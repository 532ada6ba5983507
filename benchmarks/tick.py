"""Cost of a tick with new wants, and of saving its changes: `python -m benchmarks.tick`.

Processor time of `tick` and of `Store.save` by number of wants, each from a new volunteer; the least of five. Both
should grow linearly. Writes benchmarks/results/tick.json.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from paris.coordinator.decisions.observations import WantReceived
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.report.facts import machine_facts
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store
from paris.protocol.envelope import Envelope, seal
from paris.protocol.signing import Identity
from paris.protocol.work_records import Want

_COUNTS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
_RUNS = 5
_NOW = 1_000_000.0
_POLICY = Policy(lease_s=600, heartbeat_every_s=10)


def main() -> int:
    """Measure, print, write."""
    rows = [_row(count) for count in _COUNTS]
    path = Path(__file__).parent / "results" / "tick.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"rows": rows, "runs": _RUNS, "machine": machine_facts()}, indent=1) + "\n")
    for row in rows:
        print(f"{row['wants']:6d} new wants: tick {row['tick_cpu_s']:.3f} s, save {row['save_cpu_s']:.3f} s")
    return 0


def _row(count: int) -> dict[str, float]:
    observations = [WantReceived(envelope) for envelope in _wants(count)]
    ticks, saves = [], []
    for _ in range(_RUNS):
        started = time.process_time()
        decision = tick(State(), observations, _POLICY, _NOW)
        ticks.append(time.process_time() - started)
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "state.sqlite")
            started = time.process_time()
            store.save(State(), decision.state, decision.events, _NOW)
            saves.append(time.process_time() - started)
            store.close()
    return {
        "wants": count,
        "tick_cpu_s": round(min(ticks), 4),
        "save_cpu_s": round(min(saves), 4),
    }


def _wants(count: int) -> list[Envelope[Want]]:
    """Envelopes of this many volunteers; sealed once, because a tick does not check signatures."""
    want = Want(name="v", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0")
    one = seal(want, Identity.generate(), run_id="r", sequence=1, issued_at=_NOW, expires_at=_NOW + 60)
    return [replace(one, signer=f"{number:064x}") for number in range(count)]


if __name__ == "__main__":
    raise SystemExit(main())
