"""Time of a training step by kind of work, from torch's profiler."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

KINDS = ("matmul", "attention", "pointwise", "optimizer", "other")
_MATMUL = ("aten::mm", "aten::addmm", "aten::linear", "convolution", "gemm", "cutlass")
_ATTENTION = ("scaled_dot_product", "aten::bmm", "aten::baddbmm", "flash", "fmha", "softmax")
_POINTWISE = (
    *("aten::mul", "aten::add", "aten::sub", "aten::div", "aten::neg", "aten::lerp", "aten::sqrt", "aten::pow"),
    *("aten::copy_", "aten::cat", "aten::fill_", "aten::zero_", "aten::sum", "aten::mean", "aten::clamp"),
    *("gelu", "Gelu", "sigmoid", "silu", "layer_norm", "mse_loss", "vectorized_elementwise", "reduce_kernel"),
    *("triton_", "CompiledFxGraph", "Memcpy", "Memset"),
)


def profiled(forward_backward: Callable[[], object], apply: Callable[[], object], device: str) -> dict[str, float]:
    """Shares of one step by kind of work, which add up to 1.

    matmul: products with weights; attention: scores, softmax, weighted sums; pointwise: elementwise operations, norms,
    sums and copies, compiled or not; optimizer: clipping, AdamW and EMA; other: the rest, mostly Python.

    Args:
        forward_backward: First part of a step.
        apply: Second part.
        device: Device of the step; on a GPU its own times are used.
    """
    microseconds = dict.fromkeys(KINDS, 0.0)
    for name, time_us in _times(forward_backward, device).items():
        microseconds[kind_of(name)] += time_us
    microseconds["optimizer"] = sum(_times(apply, device).values())
    total = sum(microseconds.values())
    return {name: value / total for name, value in microseconds.items()}


def kind_of(name: str) -> str:
    """Kind of work of an operation or kernel.

    Args:
        name: The profiler's name.
    """
    # Attention first: a GPU's attention kernels have "gemm" in their names too.
    for kind, words in (("attention", _ATTENTION), ("matmul", _MATMUL), ("pointwise", _POINTWISE)):
        if any(word in name for word in words):
            return kind
    return "other"


def _times(work: Callable[[], object], device: str) -> dict[str, float]:
    """Name to microseconds of the operation itself."""
    is_gpu = device != "cpu"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]
    with profile(activities=activities, acc_events=True) as recorded:
        work()
        if is_gpu:
            torch.cuda.synchronize()
    events = recorded.key_averages()
    if is_gpu:
        return {event.key: event.self_device_time_total for event in events}
    return {event.key: event.self_cpu_time_total for event in events}
