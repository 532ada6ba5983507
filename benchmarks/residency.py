"""Eight experts, two in memory: peak memory, and the loading time not hidden by computation.

    python -m benchmarks.residency [--quick] [--models FOLDER] [--out FILE]

Each case is a fresh process that samples eight pictures, top-2, guidance 7.5, from a DiT-B/2 with a router like the
published one. Every step uses all eight experts, so with two resident six are loaded at each step. The bound is 1.2
times the weights of two experts and the router, above the memory of the process after importing torch.
Writes benchmarks/results/residency.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.made_models import made_layout, make_model
from benchmarks.memory import Peak, peak_memory
from benchmarks.record import as_table, write_result
from paris.experts.release.bank import ExpertBank
from paris.experts.release.layout import load_router
from paris.experts.sampling.experts import Ensemble
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.sample import Step, sample
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.seeding import generator_for

_ALLOWED = 1.2


class SpreadRouter(nn.Module):
    """A router whose answer is replaced by the most expensive one: no two rows ask the same experts, while they last.

    Row b asks the experts 2 b and 2 b + 1, modulo K. The router's own network runs, so that it is paid for.

    Args:
        router: Gives K logits.
    """

    def __init__(self, router: nn.Module) -> None:
        super().__init__()
        self.router = router

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits `[B, K]`."""
        logits = self.router(x, t)
        row = torch.arange(len(x), device=x.device)
        chosen = torch.stack([2 * row, 2 * row + 1], dim=1) % logits.shape[1]
        return (logits * 1e-3).scatter_add_(1, chosen, torch.full(chosen.shape, 10.0, device=x.device))


def sample_pictures(
    folder: str,
    preset: str,
    num_experts: int,
    resident: int | None,
    num_pictures: int = 8,
    num_steps: int = 3,
    guidance: float = 7.5,
    keep: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Sample from a folder of `make_model`, top-2.

    Args:
        folder: The model's.
        preset: Of its experts.
        num_experts: K.
        resident: How many are in memory at once; None: all.
        num_pictures: B.
        num_steps: Steps of Euler's method.
        guidance: Its scale; 1 for none.
        keep: As `ExpertBank.open`.
        device: Where to compute.

    Returns:
        Seconds a step (median but for the first, which projects the text), and what fetching took of them.
    """
    layout = made_layout(preset, num_experts)
    router = SpreadRouter(load_router(Path(folder), layout)).to(device)
    shape = (layout.model.max_text_tokens, layout.model.text_embed_dim)
    states = torch.randn(num_pictures + 1, *shape, generator=generator_for(0, "text")).to(device)
    ends, stats = [], []
    with ExpertBank.open(Path(folder), layout, device, max_resident_experts=resident, keep=keep) as bank:

        def note(step: Step) -> None:
            step.x.sum().item()
            ends.append(time.perf_counter())
            stats.append(bank.stats)

        prompts = Prompts(states[1:], negative=(states[:1], None))
        settings = SamplingSettings(num_steps=num_steps, guidance=Guidance(scale=guidance))
        sample(Ensemble(bank, router), prompts, range(num_pictures), settings, on_step=note)
    fetch_s, waited_s = (getattr(stats[-1], name) - getattr(stats[0], name) for name in ("fetch_s", "waited_s"))
    fetches = stats[-1].fetches - stats[0].fetches
    return {
        "step_s": statistics.median(b - a for a, b in pairwise(ends)),
        "fetches_per_step": fetches / (num_steps - 1),
        "fetch_s": fetch_s / fetches if fetches else 0.0,
        "hidden": max(0.0, 1.0 - waited_s / fetch_s) if fetches else None,
    }


def measure(models: Path, preset: str, resident: int | None, expert_bytes: int, **settings: Any) -> dict[str, Any]:
    """One row: a fresh process that samples with so many experts resident."""
    router_bytes = (models / "router" / "pytorch_model.safetensors").stat().st_size
    peak: Peak = peak_memory(
        "benchmarks.residency:sample_pictures", folder=str(models), preset=preset, resident=resident, **settings
    )
    added = peak.added if peak.gpu is None else peak.gpu
    weights = (resident or settings["num_experts"]) * expert_bytes + router_bytes
    return {
        "preset": preset,
        **settings,
        "resident": resident,
        "expert_mib": expert_bytes >> 20,
        "router_mib": router_bytes >> 20,
        "peak_rss_mib": peak.rss >> 20,
        "peak_pss_mib": peak.pss and peak.pss >> 20,
        "peak_gpu_mib": peak.gpu and peak.gpu >> 20,
        "before_mib": peak.before >> 20,
        "added_mib": added >> 20,
        "over_weights": round(added / weights, 3),
        "within_bound": added <= _ALLOWED * weights,
        **{name: value if value is None else round(value, 3) for name, value in peak.result.items()},
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small expert and two cases")
    parser.add_argument("--models", type=Path, help="keep the models with random weights here")
    parser.add_argument("--out", type=Path, help="the file to write")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    preset, cases = ("dit-s-2", [2]) if options.quick else ("dit-b-2", [1, 2, 4, None])
    settings = {"num_experts": 8, "num_pictures": 8, "num_steps": 2 if options.quick else 4, "device": options.device}
    with tempfile.TemporaryDirectory() as made:
        folder = (options.models or Path(made)) / preset
        expert_bytes = make_model(folder, made_layout(preset, 8))
        rows = [measure(folder, preset, resident, expert_bytes, **settings) for resident in cases]
    headings = ("resident", "added_mib", "over_weights", "step_s", "fetches_per_step", "fetch_s", "hidden")
    print(as_table(headings, [[str(row[name]) for name in headings] for row in rows]))
    print(write_result("residency", rows, out=options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
