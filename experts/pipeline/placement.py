"""Where a pipeline's parts are and what they compute in; what diffusers offers for that and experts refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Self

import torch
from diffusers import DiffusionPipeline
from torch import nn

from paris.experts.errors import SamplingError, SettingsError
from paris.experts.locks import ReentrantLock

BY_RESIDENCY = "Load with from_pretrained(..., max_resident_experts=2): the others wait in host memory or on disk."

_DTYPES = {
    **{"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16},
    **{"double": torch.float64, "float": torch.float32, "half": torch.float16},
    **{"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16},
}


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


def dtype_of(dtype: object) -> torch.dtype:
    """A type that the models can compute in, from itself or its name, such as "bfloat16" or "torch.float16".

    Raises:
        SettingsError: It is another one.
    """
    found = _DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or found not in _DTYPES.values():
        raise SettingsError(f"The models cannot compute in {dtype}.", "Choose float32, bfloat16 or float16.")
    return found


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
    try:
        return None if device is None else torch.device(device), None if dtype is None else dtype_of(dtype)
    except SettingsError as error:
        raise SamplingError(error.what, error.next_step) from error
    except (RuntimeError, TypeError) as error:
        raise SamplingError(f"There is no device {device!r}.") from error


class PlacedPipeline(DiffusionPipeline):
    """The part of a pipeline that moves its models: experts and router together, text encoder and codec with them."""

    experts: Any
    router: Any
    text_encoder: Any
    codec: Any
    _lock: ReentrantLock

    @property
    def device(self) -> torch.device:
        """Where experts and router are."""
        return self._a_parameter().device

    @property
    def dtype(self) -> torch.dtype:
        """What experts and router compute in."""
        return self._a_parameter().dtype

    @property
    def _execution_device(self) -> torch.device:
        return self.device

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the models and change what they compute in: `to(device)`, `to(dtype)`, `to(device, dtype)`.

        Raises:
            SamplingError: Something else is given, or the same twice, or a dtype that is no floating type.
        """
        device, dtype = device_and_dtype(args, kwargs)
        with self._lock:
            self.experts.to(device=device, dtype=dtype)
            if isinstance(self.router, nn.Module):
                self.router.to(device=device, dtype=dtype)
            if device is not None:
                self.text_encoder.to(device)
                self.codec.to(device)
        return self

    def compile(self, **settings: Any) -> Self:
        """Compile each transformer layer of experts and router; all layers of a kind share the compiled code.

        The first call after it is slow, and so is the first with another number of rows.

        Args:
            settings: For `torch.compile`, such as `mode="max-autotune-no-cudagraphs"`.
        """
        for network in (*self.experts.networks, self.router):
            for layer in network.layers:
                layer.compile(**settings)
        return self

    enable_model_cpu_offload = refused("enable_model_cpu_offload is not for several experts.", BY_RESIDENCY)
    enable_sequential_cpu_offload = refused("enable_sequential_cpu_offload is not for several experts.", BY_RESIDENCY)
    enable_group_offload = refused("enable_group_offload is not for several experts.", BY_RESIDENCY)
    enable_xformers_memory_efficient_attention = refused(
        "xformers is not needed.", "Attention is scaled_dot_product_attention, which is as sparing."
    )
    enable_attention_slicing = refused(
        "Attention is not sliced.", "It is scaled_dot_product_attention, which needs no slices to save memory."
    )

    enable_vae_slicing = of_vae("enable_slicing", "Decode one picture at a time.")
    disable_vae_slicing = of_vae("disable_slicing", "Decode a few pictures at a time on a GPU.")
    enable_vae_tiling = of_vae("enable_tiling", "Decode a large picture in overlapping tiles.")
    disable_vae_tiling = of_vae("disable_tiling", "Decode a picture as one piece.")

    @property
    def vae(self) -> Any:
        """The AutoencoderKL; None where the experts make pixels."""
        return getattr(self.codec, "vae", None)

    @property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer; None for a vocabulary."""
        return getattr(self.text_encoder, "tokenizer", None)

    def _a_parameter(self) -> torch.Tensor:
        networks = [network for network in (self.router, *self.experts.networks) if isinstance(network, nn.Module)]
        parameters = (parameter for network in networks for parameter in network.parameters())
        return next(parameters, torch.empty(0))
