"""Linear probe: a linear classifier on pooled features."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parts.aggregation import Aggregation, make_aggregation
from spooftrace.backends.parts.shapes import to_frames


class LinearProbe(Backend):
    """Pool over time, standardise each dimension, one linear layer: (B, T, input_dim) or (B, input_dim) -> outputs.

    The standardisation is a batch norm without weights; it makes the learning rate independent of the scale of the
    features. Vectors (B, input_dim) skip the pooling.

    Streams: ``frames`` or ``vector``, or ``layers`` (B, num_layers, T, input_dim) with an ``aggregation``; any T from 1
    on.

    Args:
        input_dim: Width of the frames or of the vector.
        num_outputs: Number of outputs.
        pooling: "mean" over time, or "mean_std", mean and standard deviation (frames only).
        aggregation, num_layers: How layers become frames, see ``backends.parts.aggregation``; None takes frames.

    Raises:
        ValueError: An unknown ``pooling`` or ``aggregation``, an input of another shape, or a vector with
            ``pooling="mean_std"``.
    """

    def __init__(
        self,
        input_dim: int,
        num_outputs: int = 2,
        pooling: Literal["mean", "mean_std"] = "mean",
        aggregation: Aggregation | None = None,
        num_layers: int = 24,
    ):
        super().__init__()
        if pooling not in ("mean", "mean_std"):
            raise ValueError(f"pooling must be mean or mean_std, not {pooling}")
        self.layouts = (("frames", "vector") if aggregation is None else ("layers",),)
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.pooling = pooling
        self.aggregation = make_aggregation(aggregation, num_layers, input_dim)
        pooled_dim = input_dim if pooling == "mean" else 2 * input_dim
        self.standardise = nn.BatchNorm1d(pooled_dim, affine=False)
        self.out = nn.Linear(pooled_dim, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.aggregation is not None:
            x = to_frames(self, x)  # (B, L, T, D) -> (B, T, D)
        return self.out(self.standardise(self.pool(x)))  # -> (B, pooled_dim) -> (B, num_outputs)

    def pool(self, x: Tensor) -> Tensor:
        """Pool frames (B, T, input_dim) or vectors (B, input_dim) to (B, input_dim or 2 * input_dim)."""
        if x.ndim not in (2, 3) or x.size(-1) != self.input_dim or 0 in x.shape:
            raise ValueError(
                f"LinearProbe takes frames (B, T, {self.input_dim}) or vectors (B, {self.input_dim}); "
                f"got {tuple(x.shape)}"
            )
        if self.pooling == "mean":
            return x if x.ndim == 2 else x.mean(dim=1)  # (B, T, D) -> (B, D)
        if x.ndim == 2:
            raise ValueError("pooling mean_std needs frames (B, T, D): a vector has no standard deviation over time")
        # Population variance, floored: a single frame gives 0, and the square root keeps a finite gradient.
        std = x.var(dim=1, correction=0).clamp(min=1e-10).sqrt()  # (B, T, D) -> (B, D)
        return torch.cat([x.mean(dim=1), std], dim=1)  # -> (B, 2 * D)
