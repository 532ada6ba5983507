"""One training step of DiT-B/2 at 32x32x4 latents, compared with the plain implementation.

python -m benchmarks.train_step                     writes benchmarks/results/train_step.json and prints a table
python -m benchmarks.train_step --compile           ours compiled
python -m benchmarks.train_step --device cuda --precision bfloat16 --batch 64 --compile
python -m benchmarks.train_step --quick             a small model, in seconds; writes only to --out

Both steps run in turn in one process, and between them a large matrix product, which is taken as the machine's peak:
`torch.mm` of two square matrices, the better of two. So other load on the machine affects all of them equally. Figures
are medians over rounds; the ratio is the median of the ratios of adjacent steps.
Memory is that of a fresh process for each.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import as_table, described_machine, write_result
from benchmarks.step_profile import profiled
from benchmarks.training_steps import KINDS, Case, differences, make
from paris.experts.models.flops import step_flops
from paris.experts.models.presets import model_preset
from paris.experts.training.machine import keep_freed_memory, make_deterministic

_PEAK_SIDE = {"cpu": 3072, "cuda": 8192}
_STEPS_FOR_MEMORY = 2


@dataclass
class Clock:
    """Wall time of work on a device.

    Args:
        device: A GPU is synchronised before and after.
    """

    device: str

    def time(self, work: Callable[[], object]) -> float:
        """Seconds."""
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()


class Peak:
    """The machine's own matrix product.

    Args:
        clock: Times it.
        precision: That of the steps.
    """

    def __init__(self, clock: Clock, precision: str) -> None:
        side = _PEAK_SIDE[clock.device]
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._clock = clock
        self._one, self._other, self._out = (torch.ones(side, side, dtype=dtype, device=clock.device) for _ in range(3))

    def flops_per_s(self) -> float:
        """The better of two products."""
        seconds = min(self._clock.time(lambda: torch.mm(self._one, self._other, out=self._out)) for _ in range(2))
        return 2 * len(self._one) ** 3 / seconds


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Time both in turn.

    Args:
        case: The step to measure.
        rounds: Number of turns; warm-up steps, which include compilation, do not count.

    Returns:
        The figures, by name.
    """
    clock = Clock(case.device)
    steps = {kind: make(kind, case) for kind in KINDS}
    apart = differences(steps["ours"], steps["plain"])
    peak = Peak(clock, case.precision)
    parts = {kind: (step.forward_backward, step.apply) for kind, step in steps.items()}
    first = {kind: clock.time(lambda kind=kind: [part() for part in parts[kind]]) for kind in KINDS}
    seconds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    peaks: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS if number % 2 else reversed(KINDS):
            before = peak.flops_per_s()
            seconds[kind].append((clock.time(parts[kind][0]), clock.time(parts[kind][1])))
            peaks[kind].append(max(before, peak.flops_per_s()))
    shares = {kind: profiled(*parts[kind], case.device) for kind in KINDS}
    return _figures(case, seconds, peaks) | {"difference": apart, "first_step_s": first, "profile": shares}


def _figures(
    case: Case, seconds: dict[str, list[tuple[float, float]]], peaks: dict[str, list[float]]
) -> dict[str, Any]:
    whole = {kind: [sum(parts) for parts in turns] for kind, turns in seconds.items()}
    flops = step_flops(case.model, case.caption_tokens, case.batch_size)
    ratios = [plain / ours for plain, ours in zip(whole["plain"], whole["ours"], strict=True)]
    return {
        "step_s": {kind: statistics.median(turns) for kind, turns in whole.items()},
        "optimizer_s": {kind: statistics.median(parts[1] for parts in turns) for kind, turns in seconds.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "model_flops": flops,
        "peak_flops_per_s": statistics.median(peaks["ours"] + peaks["plain"]),
        "share_of_peak": {
            kind: statistics.median(flops / turn / peak for turn, peak in zip(whole[kind], peaks[kind], strict=True))
            for kind in KINDS
        },
    }


def memory_of(kind: str, case: Case, threads: int) -> int:
    """Peak memory of a process that only runs such steps; on a GPU, peak GPU memory."""
    make_deterministic(torch.device(case.device), threads)
    if kind == "ours" and case.device == "cpu":
        keep_freed_memory()
    step = make(kind, case)
    for _ in range(_STEPS_FOR_MEMORY):
        step.forward_backward()
        step.apply()
    if case.device != "cpu":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _memory_in_fresh_processes() -> dict[str, int]:
    found = {}
    for kind in KINDS:
        command = [sys.executable, "-m", "benchmarks.train_step", *sys.argv[1:], "--memory-of", kind]
        found[kind] = int(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default=None, help="shape of the expert (dit-b-2)")
    parser.add_argument("--batch", type=int, default=None, help="rows of a step (8)")
    parser.add_argument("--caption-tokens", type=int, default=None, help="text tokens that are no padding (all)")
    parser.add_argument("--rounds", type=int, default=None, help="turns of each (7)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=False, help="compile our layer")
    parser.add_argument("--checkpointing", action="store_true", help="ours computes its layers twice")
    parser.add_argument("--quick", action="store_true", help="dit-s-2, 2 rows, 2 rounds; does not replace the results")
    parser.add_argument("--out", type=Path, default=None, help="file to write instead of benchmarks/results/")
    parser.add_argument("--memory-of", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    defaults = ("dit-s-2", 2, 2) if options.quick else ("dit-b-2", 8, 7)
    for name, value in zip(("preset", "batch", "rounds"), defaults, strict=True):
        setattr(options, name, getattr(options, name) or value)
    return options


def _print(found: dict[str, Any], memory: dict[str, int]) -> None:
    rows = [
        ["step, s", *(f"{found['step_s'][kind]:.3f}" for kind in KINDS)],
        ["optimizer's part, s", *(f"{found['optimizer_s'][kind]:.3f}" for kind in KINDS)],
        ["first step, s", *(f"{found['first_step_s'][kind]:.1f}" for kind in KINDS)],
        ["share of the peak", *(f"{found['share_of_peak'][kind]:.1%}" for kind in KINDS)],
        ["peak memory, GiB", *(f"{memory[kind] / 2**30:.2f}" for kind in KINDS)],
        *(
            [f"profile: {name}", *(f"{found['profile'][kind][name]:.1%}" for kind in KINDS)]
            for name in found["profile"]["ours"]
        ),
    ]
    print(as_table(["", *KINDS], rows))
    print(f"ratio {found['ratio']:.3f} (median of {', '.join(f'{ratio:.2f}' for ratio in found['ratios'])})")
    print(f"peak {found['peak_flops_per_s'] / 1e9:.0f} GFLOP/s; a step is {found['model_flops'] / 1e9:.0f} GFLOP")
    print("largest difference: " + ", ".join(f"{name} {value:.1e}" for name, value in found["difference"].items()))


def main() -> int:
    """Measure, print, write."""
    options = _options()
    model = model_preset(options.preset)
    tokens = options.caption_tokens or model.max_text_tokens
    case = Case(model, options.batch, tokens, options.precision, options.device, options.compile, options.checkpointing)
    if options.memory_of:
        print(memory_of(options.memory_of, case, options.threads))
        return 0
    make_deterministic(torch.device(options.device), options.threads)
    if options.device == "cpu":
        keep_freed_memory()
    memory = _memory_in_fresh_processes()
    found = measure(case, options.rounds)
    _print(found, memory)
    if options.out or not options.quick:
        settings = {name: value for name, value in vars(options).items() if name not in ("out", "memory_of", "quick")}
        rows = {**found, "peak_memory_bytes": memory}
        machine = described_machine(options.device)
        side = _PEAK_SIDE[options.device]
        how = f"torch.mm of {side}x{side} matrices, the better of two, before and after each step"
        write_result("train_step", rows, out=options.out, settings=settings, machine=machine, peak=how)
    return 0


if __name__ == "__main__":
    sys.exit(main())
