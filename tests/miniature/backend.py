"""A back-end without batch norm and dropout: what it computes does not depend on who shares a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from spooftrace.backends import Backend


class Mean(Backend):
    """The mean over time of frames of 8 numbers, and one linear layer: (B, T, 8) -> (B, 2)."""

    layouts = (("frames",),)
    input_dim = 8
    num_outputs = 2

    def __init__(self) -> None:
        super().__init__()
        self.out = torch.nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.square().mean(1))  # (B, T, 8) -> (B, 8) -> (B, 2)
