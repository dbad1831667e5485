"""Layers of the codecs: ConvNeXt blocks at the frame rate, snake and upsampling layers in the time-domain decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, then two pointwise layers, added to the input: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int = 7, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).transpose(1, 2)  # (B, C, T) -> (B, T, C)
        y = self.project(F.gelu(self.expand(self.norm(y))))
        return x + (self.scale * y).transpose(1, 2)  # (B, T, C) -> (B, C, T)


class Snake(nn.Module):
    """x + sin^2(a x) / a with a learnt a per channel, for periodic signals (Ziyin et al. 2020; BigVGAN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.frequency * x).square() / (self.frequency + 1e-6)


class ResidualUnit(nn.Module):
    """Snake, convolution, snake, pointwise layer, added to the input: (B, C, N) -> (B, C, N)."""

    def __init__(self, channels: int, kernel: int = 7, dilation: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Snake(channels),
            nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=kernel // 2 * dilation),
            Snake(channels),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Upsample(nn.Module):
    """Transposed convolution to ``factor`` times the rate: (B, C, T) -> (B, C', factor T)."""

    def __init__(self, channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.layer = nn.ConvTranspose1d(channels, out_channels, 2 * factor, factor)

    def forward(self, x: Tensor) -> Tensor:
        # The output is one factor too long: cut half of it from either side.
        first = self.factor // 2
        return self.layer(x)[..., first : first + self.factor * x.shape[-1]]
