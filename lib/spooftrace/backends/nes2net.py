"""Nes2Net and Nes2Net-X: nested Res2Nets on the full-width frames of a speech foundation model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parts.aggregation import Aggregation, make_aggregation
from spooftrace.backends.parts.shapes import to_frames

ACTIVATIONS = {"relu": F.relu, "selu": F.selu}


class ChannelGate(nn.Module):
    """Squeeze-and-excitation without the squeeze: scale each channel by a gate computed from its mean over time.

    All published recipes keep the full width between the two layers: (B, C, T) -> (B, C, T).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool1d(1),  # (B, C, T) -> (B, C, 1)
            nn.Conv1d(channels, channels, kernel_size=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.se(x)


class InnerBlock(nn.Module):
    """The inner Res2Net of Nes2Net: (B, C, T) -> (B, C, T).

    The channels are cut into ``scale`` splits of W = C // scale. A running sum of the splits goes through one
    convolution along time each; the last split goes straight to the output. The order is always convolution,
    activation, batch norm.
    """

    def __init__(self, channels: int, scale: int, dilation: int, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.width = channels // scale
        self.activation = activation
        inner = self.width * scale
        self.conv1 = nn.Conv1d(channels, inner, kernel_size=1)
        self.bn1 = nn.BatchNorm1d(inner)
        self.make_steps(scale, dilation)
        self.conv3 = nn.Conv1d(inner, channels, kernel_size=1)
        self.bn3 = nn.BatchNorm1d(channels)
        self.se = ChannelGate(channels)

    def make_steps(self, scale: int, dilation: int) -> None:
        """Create the layers that ``steps`` uses."""
        w = self.width
        self.convs = nn.ModuleList(
            nn.Conv1d(w, w, kernel_size=3, dilation=dilation, padding=dilation) for _ in range(scale - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(w) for _ in range(scale - 1))

    def steps(self, splits: Sequence[Tensor], last: Tensor) -> list[Tensor]:
        """Compute one output (B, W, T) for each split (B, W, T) but the last."""
        x = torch.zeros_like(last)
        outputs = []
        for split, conv, bn in zip(splits, self.convs, self.bns, strict=True):
            x = bn(self.activation(conv(x + split)))
            outputs.append(x)
        return outputs

    def forward(self, x: Tensor) -> Tensor:
        residual = x
        x = self.bn1(self.activation(self.conv1(x)))  # (B, C, T) -> (B, W * scale, T)
        *splits, last = x.split(self.width, dim=1)  # -> scale times (B, W, T)
        x = torch.cat([*self.steps(splits, last), last], dim=1)  # -> (B, W * scale, T)
        x = self.bn3(self.activation(self.conv3(x)))  # (B, W * scale, T) -> (B, C, T)
        return self.se(x) + residual


class InnerBlockX(InnerBlock):
    """The inner Res2Net of Nes2Net-X, with learned weights in its sums: (B, C, T) -> (B, C, T).

    A stack starts with the last split; step i appends split i to the stack, convolves every member along time with the
    same kernel, and outputs the members' weighted sum. The stack itself, not the sum, goes on to the next step.
    """

    def make_steps(self, scale: int, dilation: int) -> None:
        self.weighted_sum = nn.ParameterList(torch.full((1, 1, 1, n), 1 / n) for n in range(2, scale + 1))
        self.convs = nn.ModuleList(
            nn.Conv2d(self.width, self.width, kernel_size=(3, 1), dilation=(dilation, 1), padding=(dilation, 0))
            for _ in range(scale - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in range(scale - 1))

    def steps(self, splits: Sequence[Tensor], last: Tensor) -> list[Tensor]:
        stack = last.unsqueeze(3)  # (B, W, T) -> (B, W, T, 1)
        sums = []
        for split, conv, bn, weights in zip(splits, self.convs, self.bns, self.weighted_sum, strict=True):
            stack = torch.cat([stack, split.unsqueeze(3)], dim=3)  # (B, W, T, n - 1) -> (B, W, T, n)
            stack = bn(self.activation(conv(stack)))
            sums.append(stack @ weights.flatten())  # (B, W, T, n) @ (n,) -> (B, W, T)
        return sums


class AttentiveStatsPool(nn.Module):
    """Mean and standard deviation over time, weighted per channel by attention (ASTP): (B, D, T) -> (B, 2 * D)."""

    def __init__(self, dim: int, bottleneck: int = 128):
        super().__init__()
        self.linear1 = nn.Conv1d(dim, bottleneck, kernel_size=1)
        self.linear2 = nn.Conv1d(bottleneck, dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        attention = torch.softmax(self.linear2(torch.tanh(self.linear1(x))), dim=2)  # (B, D, T), sums to 1 over T
        mean = (attention * x).sum(dim=2)  # (B, D, T) -> (B, D)
        variance = (attention * x.square()).sum(dim=2) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-10).sqrt()], dim=1)  # -> (B, 2 * D)


class Nes2Net(Backend):
    """Nes2Net: frames (B, T, input_dim) -> (B, num_outputs), without reducing the dimension first.

    The channels are cut into groups; a running sum of the groups passes through one inner block each, the last group
    goes straight to the output. The CtrSVDD recipe, the only one with official code, is::

        Nes2Net(num_outputs=1, dilation=1, aggregation="sea")

    It has 510,769 parameters, and 400 in the aggregation. The defaults are those of ``Nes2NetX``, for comparison.

    Streams: ``frames``, or ``layers`` (B, num_layers, T, input_dim) with an ``aggregation``; any T from 1 on.

    Args:
        input_dim: Width of the frames, a multiple of the number of groups. The official code takes 1024 only.
        num_outputs: Number of outputs.
        dilation: Dilation of the convolutions along time, in frames.
        pool: "mean" over time, or "astp", attentive statistics.
        nes_ratio: Number of groups of the outer network and number of splits inside each inner block.
        activation: "relu" or "selu", everywhere but in the channel gates, which keep ReLU.
        aggregation: How layers become frames, see ``spooftrace.backends.parts.aggregation``; None takes frames.
        num_layers: Number of layers, with an ``aggregation``.

    Raises:
        ValueError: An ``input_dim`` that cannot be split into the groups, an unknown ``pool``, ``activation`` or
            ``aggregation``, an input of another shape.

    Source: Liu et al., "Nes2Net: A lightweight nested architecture for foundation model driven speech anti-spoofing",
    IEEE TIFS 2025; class ``Nested_Res2Net_TDNN`` of Liu-Tianchi/Nes2Net and Liu-Tianchi/Nes2Net_ASVspoof_ITW. Keys are
    the official ones without ``Nested_Res2Net_TDNN.``; ``aggregation.`` stands for ``ssl_model.``.
    """

    inner_block = InnerBlock

    def __init__(
        self,
        input_dim: int = 1024,
        num_outputs: int = 2,
        dilation: int = 2,
        pool: Literal["mean", "astp"] = "mean",
        nes_ratio: Sequence[int] = (8, 8),
        activation: Literal["relu", "selu"] = "relu",
        aggregation: Aggregation | None = None,
        num_layers: int = 25,
    ):
        super().__init__()
        groups, scale = nes_ratio
        if input_dim % groups or input_dim // groups < scale:
            raise ValueError(
                f"input_dim must be a multiple of {groups} and at least {groups * scale} for nes_ratio "
                f"{list(nes_ratio)}; got {input_dim}"
            )
        if pool not in ("mean", "astp"):
            raise ValueError(f"pool must be mean or astp, not {pool}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be relu or selu, not {activation}")
        self.layouts = (("frames" if aggregation is None else "layers",),)
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.activation = ACTIVATIONS[activation]
        self.channels = input_dim // groups
        self.aggregation = make_aggregation(aggregation, num_layers, input_dim)
        self.Build_in_Res2Nets = nn.ModuleList(
            self.inner_block(self.channels, scale, dilation, self.activation) for _ in range(groups - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(self.channels) for _ in range(groups - 1))
        self.bn = nn.BatchNorm1d(input_dim)
        self.pooling = AttentiveStatsPool(input_dim) if pool == "astp" else None
        self.fc = nn.Linear(input_dim if self.pooling is None else 2 * input_dim, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        frames = to_frames(self, x)
        *groups, last = frames.transpose(1, 2).split(self.channels, dim=1)  # (B, T, D) -> groups of (B, C, T)
        x = torch.zeros_like(last)  # (B, C, T)
        outputs = []
        for group, block, bn in zip(groups, self.Build_in_Res2Nets, self.bns, strict=True):
            x = bn(self.activation(block(x + group)))  # (B, C, T)
            outputs.append(x)
        x = torch.cat([*outputs, last], dim=1)  # -> (B, D, T)
        x = self.activation(self.bn(x))
        x = x.mean(dim=2) if self.pooling is None else self.pooling(x)  # (B, D, T) -> (B, D or 2 * D)
        return self.fc(x)  # -> (B, num_outputs)


class Nes2NetX(Nes2Net):
    """Nes2Net-X: ``Nes2Net`` with inner blocks that learn the weights of their sums.

    512,039 parameters with the defaults, which are those of the ASVspoof 2019/2021 recipe. The ASVspoof 5 recipe has
    ``dilation=1``; CtrSVDD has ``dilation=1, num_outputs=1, aggregation="sea"`` (511,014 parameters, or 775,334 with
    ``pool="astp"``, and 400 of the aggregation), its Nes2Net-X-SeLU also ``activation="selu"``.

    Arguments, streams, errors and source are those of ``Nes2Net``.
    """

    inner_block = InnerBlockX
