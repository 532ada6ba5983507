"""Cost of importing a text encoder, and what a node imports: `python -m benchmarks.import_cost`.

Processor time and memory of fresh processes, each with other imports; median of five, interleaved. Writes
benchmarks/results/import_cost.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from paris.coordinator.report.facts import machine_facts

_RUNS = 5
_CASES = {
    "torch": "import torch",
    "torch and a vocabulary encoder": "import torch, paris.experts.frozen.text_loading",
    "torch and a transformer's class": "import torch; from transformers import BertModel, BertTokenizerFast",
    "hivemind as a whole": "import hivemind",
    "a peer of the DHT": "import paris.protocol.dht.exchange, paris.protocol.dht.node, paris.protocol.dht.shards",
    "a node's agent with its peer": "import paris.node.join.joining, paris.protocol.dht.exchange, "
    "paris.protocol.dht.node, paris.protocol.dht.shards",
}
_MEASURE = (
    "; import resource; u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime, u.ru_maxrss)"
)


def main() -> int:
    """Measure, print, write."""
    seconds: dict[str, list[float]] = {name: [] for name in _CASES}
    kibibytes: dict[str, list[float]] = {name: [] for name in _CASES}
    for _ in range(_RUNS):
        for name, code in _CASES.items():
            command = [sys.executable, "-c", code + _MEASURE]
            used = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            seconds[name].append(float(used[-2]))
            kibibytes[name].append(float(used[-1]))
    rows = {
        name: {
            "cpu_s": round(statistics.median(seconds[name]), 2),
            "memory_mib": round(statistics.median(kibibytes[name]) / 1024),
        }
        for name in _CASES
    }
    path = Path(__file__).parent / "results" / "import_cost.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"rows": rows, "runs": _RUNS, "machine": machine_facts()}, indent=1) + "\n")
    for name, row in rows.items():
        print(f"{name}: {row['cpu_s']} s of processor time, {row['memory_mib']} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
