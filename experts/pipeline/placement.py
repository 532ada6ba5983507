"""Methods that diffusers expects of a pipeline: the arguments of `to`, what experts refuse, what the VAE does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch

from paris.experts.errors import SamplingError

BY_RESIDENCY = "Load with from_pretrained(..., max_resident_experts=2): the others wait in host memory or on disk."


def refused(what: str, instead: str) -> Callable[..., NoReturn]:
    """A method that raises SamplingError with this sentence and next step."""

    def method(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise SamplingError(what, instead)

    method.__doc__ = f"Refused. {what} {instead}"
    return method


def of_vae(name: str, what: str) -> Callable[[Any], None]:
    """A method that calls the VAE's method of this name, with `what` as its docstring."""

    def method(pipeline: Any) -> None:
        if pipeline.vae is None:
            raise SamplingError("This model makes pixels, it has no VAE.")
        getattr(pipeline.vae, name)()

    method.__doc__ = what
    return method


def device_and_dtype(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[torch.device | None, torch.dtype | None]:
    """The device and the dtype among the arguments of `to(...)`, None where not given.

    Raises:
        SamplingError: Something else is given, or the same twice, or a dtype that is no floating type.
    """
    given = {name: value for name, value in kwargs.items() if name != "silence_dtype_warnings"}
    for value in args:
        name = "dtype" if isinstance(value, torch.dtype) else "device"
        if name in given:
            raise SamplingError(f"to() got two values for {name}: {given[name]} and {value}.")
        given[name] = value
    device, dtype = given.pop("device", None), given.pop("dtype", None)
    if given:
        raise SamplingError(f"to() takes device and dtype, not {', '.join(given)}.")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise SamplingError(f"The models cannot compute in {dtype}.", "Choose float32, bfloat16 or float16.")
    try:
        return None if device is None else torch.device(device), dtype
    except (RuntimeError, TypeError) as error:
        raise SamplingError(f"There is no device {device!r}.") from error
