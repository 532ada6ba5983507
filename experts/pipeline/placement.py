"""Where a pipeline's models lie and how they compute: device, dtype, compilation; what diffusers offers and we do not.

The base class of `ParisPipeline`. Experts and router move and change their dtype together; text encoder and VAE move
with them and stay in float32, the prompt router stays on the CPU.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self

import torch
from diffusers import DiffusionPipeline
from torch import nn

from paris.experts.errors import SamplingError
from paris.experts.release.parts import learned

_BY_RESIDENCY = "Load with from_pretrained(..., max_resident_experts=2): the others wait in host memory or on disk."


class PlacedPipeline(DiffusionPipeline):
    """A pipeline of experts, router, text encoder and codec that can be moved and compiled as a whole."""

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

        Args:
            args: A device, a dtype, or a device and a dtype.
            kwargs: The same as `device=` and `dtype=`; `silence_dtype_warnings=` is taken and not needed.

        Raises:
            SamplingError: Something else is given, or the same twice, or a dtype that is no floating type.
        """
        device, dtype = _place_of(args, kwargs)
        if isinstance(self.experts, nn.Module):
            self.experts.to(device=device, dtype=dtype)
        else:
            self.experts.to(device or self.device, dtype)
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
        bank = getattr(self.experts, "models", None)
        models = [learned(self.experts[k])[0] for k in self.experts.keys()] if bank is None else bank  # noqa: SIM118
        for model in [*models, self.router]:
            for layer in model.layers:
                layer.compile(**settings)
        return self

    def enable_model_cpu_offload(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: residency does this better, expert by expert and ahead of time."""
        raise SamplingError("enable_model_cpu_offload is not for several experts.", _BY_RESIDENCY)

    def enable_sequential_cpu_offload(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, as `enable_model_cpu_offload`."""
        raise SamplingError("enable_sequential_cpu_offload is not for several experts.", _BY_RESIDENCY)

    def enable_group_offload(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, as `enable_model_cpu_offload`."""
        raise SamplingError("enable_group_offload is not for several experts.", _BY_RESIDENCY)

    def enable_xformers_memory_efficient_attention(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: nothing would change."""
        raise SamplingError(
            "xformers is not needed.", "Attention is scaled_dot_product_attention, which is as sparing."
        )

    def enable_attention_slicing(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: nothing would change."""
        raise SamplingError(
            "Attention is not sliced.", "It is scaled_dot_product_attention, which needs no slices to save memory."
        )

    def enable_vae_slicing(self) -> None:
        """Decode one picture at a time."""
        self._vae_or_refuse().enable_slicing()

    def disable_vae_slicing(self) -> None:
        """Decode a few pictures at a time on a GPU."""
        self._vae_or_refuse().disable_slicing()

    def enable_vae_tiling(self) -> None:
        """Decode a large picture in overlapping tiles."""
        self._vae_or_refuse().enable_tiling()

    def disable_vae_tiling(self) -> None:
        """Decode a picture as one piece."""
        self._vae_or_refuse().disable_tiling()

    @property
    def vae(self) -> Any:
        """The AutoencoderKL; None where the experts make pixels."""
        return getattr(self.codec, "vae", None)

    @property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer; None for a vocabulary."""
        return getattr(self.text_encoder, "tokenizer", None)

    def _vae_or_refuse(self) -> Any:
        if self.vae is None:
            raise SamplingError("This model makes pixels, it has no VAE.")
        return self.vae

    def _a_parameter(self) -> torch.Tensor:
        for model in (self.router, *getattr(self.experts, "models", ()), self.experts):
            if isinstance(model, nn.Module):
                for parameter in model.parameters():
                    return parameter
        return torch.empty(0)


def _place_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[torch.device | None, torch.dtype | None]:
    kwargs.pop("silence_dtype_warnings", None)
    given: dict[str, Any] = {name: kwargs.pop(name) for name in ("device", "dtype") if name in kwargs}
    for value in args:
        name = "dtype" if isinstance(value, torch.dtype) else "device"
        if name in given:
            raise SamplingError(f"to() got two values for {name}: {given[name]} and {value}.")
        given[name] = value
    if kwargs:
        raise SamplingError(f"to() takes device and dtype, not {', '.join(kwargs)}.")
    device, dtype = given.get("device"), given.get("dtype")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise SamplingError(f"The models cannot compute in {dtype}.", "Choose float32, bfloat16 or float16.")
    try:
        return None if device is None else torch.device(device), dtype
    except (RuntimeError, TypeError) as error:
        raise SamplingError(f"There is no device {device!r}.") from error
