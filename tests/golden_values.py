"""Golden values: what the code computes, kept in files, so that a change of any bit is seen.

tests/golden/<name>.json
    {"version": 1, "circumstances": {"torch": "2.13.0+cpu", ...}, "cases": {<case>: {"same": {...}, "bits": {...},
     "near": {...}}}}
"""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "golden"
_VERSION = 1
_PACKAGES = ("torch", "numpy", "pyarrow", "pillow", "diffusers", "safetensors")


class BitsNotComparedWarning(UserWarning):
    """The golden bits were made under other circumstances; only plain values were compared."""


@dataclass(frozen=True)
class Golden:
    """What one case computes.

    Args:
        same: JSON values that are equal on any machine.
        bits: SHA-256 values that are equal under equal circumstances.
        near: Numbers that are nearly equal on any machine.
    """

    same: dict[str, object] = field(default_factory=dict)
    bits: dict[str, str] = field(default_factory=dict)
    near: dict[str, list[float]] = field(default_factory=dict)


def circumstances() -> dict[str, str]:
    """What decides how floating-point sums are rounded, and how files are encoded."""
    return {
        **{name: version(name) for name in _PACKAGES},
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": _processor(),
    }


def _processor() -> str:
    """Vendor, family and model: matrix products are computed by kernels that are chosen by them."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.system()} {platform.machine()} {platform.processor()}"
    said = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    named = [said[key] for key in ("vendor_id", "cpu family", "model") if key in said]
    return " ".join([platform.machine(), *named])


@contextmanager
def one_thread():
    """Sums are taken in one order; the number of threads is restored."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def summary(tensor: Tensor) -> list[float]:
    """Mean, standard deviation, and five entries from the first to the last."""
    flat = tensor.detach().double().flatten()
    places = torch.linspace(0, len(flat) - 1, 5).long()
    numbers = [flat.mean(), flat.std(correction=0), *flat[places]]
    return [float(f"{number:.7g}") for number in numbers]


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    made = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole = tensor.detach().cpu().contiguous()
        made.update(f"{name} {whole.dtype} {tuple(whole.shape)}\n".encode())
        made.update(whole.flatten().view(torch.uint8).numpy().tobytes())
    return made.hexdigest()


def write(name: str, cases: Mapping[str, Golden]) -> Path:
    """Replace a golden file; a list of numbers stays on one line."""
    path = FOLDER / f"{name}.json"
    content = {"version": _VERSION, "circumstances": circumstances(), "cases": {k: asdict(v) for k, v in cases.items()}}
    path.write_text(_json(content) + "\n", "utf-8")
    return path


def read(name: str) -> tuple[dict[str, str], dict[str, Golden]]:
    """The circumstances and the cases of a golden file."""
    content = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    assert content["version"] == _VERSION
    return content["circumstances"], {case: Golden(**fields) for case, fields in content["cases"].items()}


def compare(
    made: Golden, golden: Golden, made_under: Mapping[str, str], *, atol: Callable[[str], float], rtol: float = 0.0
) -> None:
    """Fail where a case computes something else than its golden value.

    Args:
        made: What was computed here.
        golden: From the file.
        made_under: The circumstances of the file. Under others the bits are not compared, and a warning names the
            difference.
        atol: From a name of `near` to the largest absolute difference of its numbers.
        rtol: Difference relative to the golden number, added to `atol`.
    """
    assert made.same == golden.same
    assert made.near.keys() == golden.near.keys()
    far = {
        name: (made.near[name], numbers)
        for name, numbers in golden.near.items()
        if len(made.near[name]) != len(numbers)
        or not all(abs(a - b) <= atol(name) + rtol * abs(b) for a, b in zip(made.near[name], numbers, strict=True))
    }
    assert far == {}
    here = circumstances()
    others = [
        f"{name} {here.get(name)} here, {value} in the golden file"
        for name, value in made_under.items()
        if here[name] != value
    ]
    if others:
        assert made.bits.keys() == golden.bits.keys()
        warnings.warn(f"golden bits not compared: {'; '.join(others)}", BitsNotComparedWarning, stacklevel=2)
    else:
        assert made.bits == golden.bits


def _json(value: object, indent: str = "") -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    lines = [f"{deeper}{json.dumps(key)}: {_json(inner, deeper)}" for key, inner in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
