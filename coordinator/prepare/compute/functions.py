"""The functions that Daft applies to rows: decode, embed, encode. One class a step; one model a process.

On "cuda", a process claims a GPU (devices.py): Ray shows each worker its own GPU only, but the processes that Daft
starts on one machine see all of them.

Rows that cannot be used remain as nulls, so that counts and order are kept. Shapes: B rows, S the picture's side, D the
width of the embedder.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from paris.coordinator.prepare.compute.devices import claimed_device
from paris.coordinator.prepare.compute.engine import daft
from paris.coordinator.prepare.compute.pictures import DroppedPicture, PictureLimits, decode_picture

_DECODED = daft.DataType.struct(
    {
        "reason": daft.DataType.string(),
        "detail": daft.DataType.string(),
        "sha256": daft.DataType.binary(),
        "pixels": daft.DataType.binary(),
    }
)
_DECODE_ROWS = 64
_MODEL_ROWS = 32
_loading = threading.Lock()


class DecodePictures:
    """File bytes to pixels.

    Args:
        size: Side of the square, pixels.
        limits: Limits of the pictures.
    """

    def __init__(self, size: int, limits: PictureLimits) -> None:
        self._size, self._limits = size, limits

    @daft.method.batch(return_dtype=_DECODED, batch_size=_DECODE_ROWS)
    def decode(self, data: daft.Series) -> list[dict[str, Any]]:
        """Decode; `reason` is null if `pixels` (uint8, `[3, S, S]`) is not; `sha256` is the digest of the file."""
        return [self._one(value) for value in data.to_arrow().to_pylist()]

    def _one(self, data: bytes | None) -> dict[str, Any]:
        try:
            pixels = decode_picture(data, self._size, self._limits).tobytes()
        except DroppedPicture as dropped:
            return {"reason": dropped.reason, "detail": dropped.detail, "sha256": None, "pixels": None}
        return {"reason": None, "detail": None, "sha256": hashlib.sha256(data or b"").digest(), "pixels": pixels}


def on_pictures(pixels: daft.Series, size: int, model: Callable[[np.ndarray], Iterable[Any]]) -> list[Any]:
    """Apply a model to the pictures of a batch.

    Args:
        pixels: uint8 `[3, S, S]` as bytes, or null.
        size: S.
        model: Maps uint8 `[B, 3, S, S]` to B results.

    Returns:
        One result a row; None if the pixels are null.
    """
    values = pixels.to_arrow().to_pylist()
    present = [i for i, value in enumerate(values) if value is not None]
    results: list[Any] = [None] * len(values)
    for start in range(0, len(present), _MODEL_ROWS):
        part = present[start : start + _MODEL_ROWS]
        # Always the same batch shape: kernels that are chosen by shape round differently, which would change digests.
        batch = np.zeros((_MODEL_ROWS, 3, size, size), np.uint8)
        for row, i in enumerate(part):
            batch[row] = np.frombuffer(values[i], np.uint8).reshape(3, size, size)
        for i, result in zip(part, model(batch), strict=False):
            results[i] = result
    return results


class _OnPictures:
    """Applies a model to the pictures of a batch; subclasses define the model."""

    def __init__(self, size: int, load: tuple[Any, ...]) -> None:
        self._size, self._load = size, load

    def _apply(self, pixels: daft.Series) -> pa.Array:
        made = on_pictures(pixels, self._size, lambda batch: (row.tobytes() for row in self._model(batch)))
        return pa.array(made, pa.binary())

    def _model(self, pictures: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class EmbedPictures(_OnPictures):
    """Pixels to unit-length float16 features."""

    @daft.method.batch(return_dtype=daft.DataType.binary(), batch_size=_MODEL_ROWS)
    def embed(self, pixels: daft.Series) -> pa.Array:
        """float16 `[D]` as bytes; null if the pixels are null."""
        return self._apply(pixels)

    def _model(self, pictures: np.ndarray) -> np.ndarray:
        features = np.asarray(load_embedder_once(*self._load).embed(pictures), np.float32)
        length = np.linalg.norm(features, axis=1, keepdims=True)
        # float16 also removes the last digits, in which machines differ.
        return np.asarray(features / np.maximum(length, 1e-12), np.float16)


class EncodePictures(_OnPictures):
    """Pixels to stored arrays."""

    @daft.method.batch(return_dtype=daft.DataType.binary(), batch_size=_MODEL_ROWS)
    def encode(self, pixels: daft.Series) -> pa.Array:
        """The stored array `[C, H, W]` as bytes; null if the pixels are null."""
        return self._apply(pixels)

    def _model(self, pictures: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(load_codec_once(*self._load).encode(pictures))


def load_embedder_once(name: str, device: str) -> Any:
    """The embedder of this process, shared by the instances that Daft makes of a class in several threads."""
    with _loading:
        return _embedder(name, claimed_device(device))


def load_codec_once(settings: tuple[tuple[str, Any], ...], folder: str, device: str) -> Any:
    """The codec of this process, shared likewise."""
    with _loading:
        return _codec(settings, folder, claimed_device(device))


@functools.lru_cache(maxsize=1)
def _embedder(name: str, device: str) -> Any:
    from paris.experts.frozen.features import load_embedder

    return load_embedder(name, device)


@functools.lru_cache(maxsize=1)
def _codec(settings: tuple[tuple[str, Any], ...], folder: str, device: str) -> Any:
    from paris.experts.frozen.codec import CodecConfig, load_codec

    return load_codec(CodecConfig(**dict(settings)), Path(folder), device)
