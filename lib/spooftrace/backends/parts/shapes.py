"""Shapes of back-end inputs: check them, aggregate layers to frames, and cut long inputs into windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from spooftrace.backends.parts.aggregation import LayerAggregation


def check_shape(backend: object, x: Tensor, layout: str, shape: tuple[int | str, ...], min_frames: int = 1) -> None:
    """Raise ``ValueError`` unless ``x`` has this shape, e.g. ("B", "T", 1024), with T of at least ``min_frames``.

    Letters stand for any size but 0.
    """
    fits = x.ndim == len(shape) and all(
        size == want or (isinstance(want, str) and size > 0) for size, want in zip(x.shape, shape, strict=True)
    )
    if not fits or x.size(shape.index("T")) < min_frames:
        least = f" with T of at least {min_frames}" if min_frames > 1 else ""
        wanted = f"{layout} ({', '.join(map(str, shape))}){least}"
        raise ValueError(f"{type(backend).__name__} takes {wanted}; got {tuple(x.shape)}")


class TakesFrames(Protocol):
    """A back-end that takes frames, or layers that its aggregation turns into frames."""

    input_dim: int
    min_frames: int
    aggregation: LayerAggregation | None


def to_frames(backend: TakesFrames, x: Tensor) -> Tensor:
    """Check the input of a back-end, and aggregate layers (B, L, T, D) to frames if the back-end has an aggregation.

    Returns:
        Frames (B, T, D).

    Raises:
        ValueError: ``x`` is not frames (B, T, D), or with an aggregation not layers (B, L, T, D), or T is too small.
    """
    min_frames = backend.min_frames
    aggregation = backend.aggregation
    if aggregation is None:
        check_shape(backend, x, "frames", ("B", "T", backend.input_dim), min_frames)
        return x
    check_shape(backend, x, "layers", ("B", aggregation.num_layers, "T", backend.input_dim), min_frames)
    return aggregation(x)  # (B, L, T, D) -> (B, T, D)


def map_windows(function: Callable[[Tensor], Tensor], x: Tensor, dim: int, length: int, longest: int) -> Tensor:
    """Apply a function for inputs of ``length`` to ``longest`` frames to an input of any length.

    A shorter input is repeated from its start up to ``length``, as the published systems do with short recordings. A
    longer one is cut into evenly spaced windows of ``length`` frames that cover it; the windows go through ``function``
    as one larger batch, and the outputs of the windows of an item are averaged.

    Args:
        function: (B, ...) -> (B, K).
        x: The batch, with items along axis 0.
        dim: Axis of the frames.
        length: Number of frames of a window.
        longest: Largest number of frames that ``function`` takes.

    Returns:
        (B, K).
    """
    size = x.size(dim)
    if length <= size <= longest:
        return function(x)
    if size < length:
        index = torch.arange(length, device=x.device) % size
        return function(x.index_select(dim, index))
    count = math.ceil(size / length)
    starts = [round(i * (size - length) / (count - 1)) for i in range(count)]
    outputs = function(torch.cat([x.narrow(dim, start, length) for start in starts]))  # -> (W * B, K)
    return outputs.unflatten(0, (count, -1)).mean(dim=0)  # -> (W, B, K) -> (B, K)
