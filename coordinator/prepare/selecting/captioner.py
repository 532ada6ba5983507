"""A BLIP or BLIP-2 model of transformers that captions pictures; one instance a process."""

from __future__ import annotations

import functools
import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np

from paris.coordinator.prepare.compute.devices import claimed_device
from paris.coordinator.prepare.errors import CaptionerError
from paris.experts.files import file_sha256

_MAX_NEW_TOKENS = 40
_KINDS = ("blip", "blip-2")
_loading = threading.Lock()


class Captioner:
    """Greedy decoding, so that the same picture always gets the same caption.

    Args:
        name: Name on the Hub, or folder.
        revision: Branch, tag or commit of a name on the Hub.
        device: Device to compute on.

    Raises:
        CaptionerError: The model is missing, or is no BLIP or BLIP-2.
    """

    def __init__(self, name: str, revision: str | None, device: str = "cpu") -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        check_captioner(name, revision)
        self._device = torch.device(device)
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        try:
            self._processor: Any = AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=False)
            model: Any = AutoModelForImageTextToText.from_pretrained(
                name, revision=revision, use_safetensors=True, trust_remote_code=False, dtype=dtype
            )
        except (OSError, ValueError, KeyError) as error:
            raise _not_loaded(name, revision, error) from error
        self._model = model.to(self._device).eval().requires_grad_(False)

    def caption(self, pictures: np.ndarray) -> list[str]:
        """Captions of pictures, uint8 `[N, 3, H, W]`; one may be empty."""
        import torch
        from PIL import Image

        images = [Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))) for picture in pictures]
        pixels = self._processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            made = self._model.generate(
                pixel_values=pixels.to(self._device, self._model.dtype),
                max_new_tokens=_MAX_NEW_TOKENS,
                num_beams=1,
                do_sample=False,
            )
        texts = self._processor.batch_decode(made, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def check_captioner(name: str, revision: str | None) -> str:
    """Check that a captioner exists, without loading its weights.

    Returns:
        Its exact revision: the commit on the Hub, or "sha256-" and the digest of a folder's weights.

    Raises:
        CaptionerError: The model is missing, or is no BLIP or BLIP-2.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise _not_loaded(name, revision, error) from error
    if config.model_type not in _KINDS:
        raise CaptionerError(
            f"The captioner {name} is a {config.model_type} model.", f"Use a model of kind {' or '.join(_KINDS)}."
        )
    if not Path(name).is_dir():
        return str(getattr(config, "_commit_hash", None) or revision or "main")
    weights = sorted(Path(name).glob("*.safetensors"))
    if not weights:
        raise CaptionerError(f"The captioner's folder {name} contains no .safetensors file.", "Convert its weights.")
    return "sha256-" + hashlib.sha256("".join(map(file_sha256, weights)).encode()).hexdigest()[:16]


def _not_loaded(name: str, revision: str | None, error: Exception) -> CaptionerError:
    at = f" at revision {revision}" if revision else ""
    return CaptionerError(
        f"The captioner {name}{at} cannot be loaded: {str(error).strip().splitlines()[0].rstrip('.')}.",
        "Set captioner in [data] to a folder, or to the name of a BLIP or BLIP-2 model on the Hub.",
    )


def load_captioner_once(name: str, revision: str | None, device: str) -> Captioner:
    """The captioner of this process, shared by the instances that Daft makes of a class in several threads."""
    with _loading:
        return _captioner(name, revision, claimed_device(device))


@functools.lru_cache(maxsize=1)
def _captioner(name: str, revision: str | None, device: str) -> Captioner:
    return Captioner(name, revision, device)
