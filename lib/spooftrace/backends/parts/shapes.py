"""What back-ends do to their input before anything else: check its shape, and cut it to a fixed number of frames."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def check_shape(backend: nn.Module, x: Tensor, layout: str, shape: tuple[int | str, ...], min_frames: int = 1) -> None:
    """Raise one clear ValueError unless ``x`` has this shape, e.g. ("B", "T", 1024), with T of at least ``min_frames``.

    Sizes that are given by a letter are free, but not 0.
    """
    fits = x.ndim == len(shape) and all(
        size == want or (isinstance(want, str) and size > 0) for size, want in zip(x.shape, shape, strict=True)
    )
    if not fits or x.size(shape.index("T")) < min_frames:
        least = f" with T of at least {min_frames}" if min_frames > 1 else ""
        wanted = f"{layout} ({', '.join(map(str, shape))}){least}"
        raise ValueError(f"{type(backend).__name__} takes {wanted}; got {tuple(x.shape)}")


def to_frames(backend: nn.Module, x: Tensor) -> Tensor:
    """Frames as they come, or layers through ``backend.aggregation``, checked first against what the back-end takes.

    Returns:
        (B, T, D).

    Raises:
        ValueError: ``x`` is not frames (B, T, D), or with an aggregation not layers (B, L, T, D), or T is too small.
    """
    min_frames = getattr(backend, "min_frames", 1)
    if backend.aggregation is None:
        check_shape(backend, x, "frames", ("B", "T", backend.input_dim), min_frames)
        return x
    check_shape(backend, x, "layers", ("B", backend.aggregation.num_layers, "T", backend.input_dim), min_frames)
    return backend.aggregation(x)  # (B, L, T, D) -> (B, T, D)


def map_windows(function: Callable[[Tensor], Tensor], x: Tensor, dim: int, length: int, longest: int) -> Tensor:
    """Give a function of ``length`` to ``longest`` entries of axis ``dim`` an input of any length.

    Fewer entries are repeated from the start up to ``length``, as the published systems do with short recordings. For
    more of them, windows of ``length`` entries that together cover everything, evenly spaced, go through ``function``
    as one larger batch, and the outputs of each item's windows are averaged. ``length`` to ``longest`` entries are left
    alone.

    Args:
        function: (B, ...) -> (B, K).
        x: The batch; axis 0 is the item.

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
