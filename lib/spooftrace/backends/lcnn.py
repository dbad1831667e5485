"""LCNN: convolutions with max-feature-map activations over one layer of XLS-R, treated as an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parts.shapes import check_shape, map_windows


class MaxFeatureMap(nn.Module):
    """The larger of two halves of axis 1: (B, 2 * C, ...) -> (B, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(*x.chunk(2, dim=1))


def _block(in_channels: int, out_channels: int, size: int, pool: bool = False, norm: bool = False) -> nn.Sequential:
    """Convolution, max-feature-map, optional pooling by 2 and batch norm: (B, in, F, T) -> (B, out, ...)."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, 2 * out_channels, size, padding=size // 2), MaxFeatureMap()]
    if pool:
        layers.append(nn.MaxPool2d(2))
    if norm:
        layers.append(nn.BatchNorm2d(out_channels, affine=False))
    return nn.Sequential(*layers)


class LCNN(Backend):
    """Light CNN of the Codecfake paper: frames (B, T, input_dim) -> logits (B, num_outputs).

    4,111,074 parameters with the defaults, which are the published ones: layer 5 of XLS-R 300M, 201 frames. The
    published code takes this number of frames only, which determines the size of its linear layers. Here any T works: a
    shorter input is repeated up to 201 frames, as in the published data loader; a longer one is cut into evenly spaced
    windows of 201 frames, and the outputs of the windows are averaged. Up to 207 frames pool to the same size and are
    not cut.

    In the published code output 0 is bona fide. Here it is output 1, as everywhere in spooftrace: to load official
    weights, swap the rows of ``fc_mu``.

    Streams: ``frames``; any T from 1 on.

    Args:
        input_dim: Width of the frames, 16 or more.
        num_outputs: Number of outputs.
        num_frames: Number of frames that the linear layers are built for, 16 or more.

    Raises:
        ValueError: ``input_dim`` or ``num_frames`` below 16, an input of another shape.

    Source: Xie et al., "The Codecfake dataset and countermeasures for the universally detection of deepfake audio",
    2024; class ``LCNN`` of xieyuankun/Codecfake, whose keys these are.
    """

    layouts = (("frames",),)

    def __init__(self, input_dim: int = 1024, num_outputs: int = 2, num_frames: int = 201):
        super().__init__()
        if min(input_dim, num_frames) < 16:
            raise ValueError(f"input_dim and num_frames must be 16 or more; got {input_dim} and {num_frames}")
        self.input_dim = input_dim
        self.num_outputs = num_outputs
        self.num_frames = num_frames
        self.conv1 = _block(1, 32, 5, pool=True)
        self.conv2 = _block(32, 32, 1, norm=True)
        self.conv3 = _block(32, 48, 3, pool=True, norm=True)
        self.conv4 = _block(48, 48, 1, norm=True)
        self.conv5 = _block(48, 64, 3, pool=True)
        self.conv6 = _block(64, 64, 1, norm=True)
        self.conv7 = _block(64, 32, 3, norm=True)
        self.conv8 = _block(32, 32, 1, norm=True)
        self.conv9 = _block(32, 32, 3, pool=True)
        flat = 32 * (input_dim // 16) * (num_frames // 16)
        self.out = nn.Sequential(nn.Dropout(0.7), nn.Linear(flat, 160), MaxFeatureMap(), nn.Linear(80, 256))
        self.fc_mu = nn.Linear(256, num_outputs)

    def forward(self, frames: Tensor) -> Tensor:
        check_shape(self, frames, "frames", ("B", "T", self.input_dim))
        longest = self.num_frames // 16 * 16 + 15
        return map_windows(self.classify, frames, dim=1, length=self.num_frames, longest=longest)

    def classify(self, frames: Tensor) -> Tensor:
        """Classify frames (B, num_frames, D): (B, num_outputs)."""
        x = frames.transpose(1, 2).unsqueeze(1)  # (B, T, D) -> (B, 1, D, T)
        for block in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            x = block(x)  # -> (B, 64, D // 8, T // 8)
        for block in (self.conv6, self.conv7, self.conv8, self.conv9):
            x = block(x)  # -> (B, 32, D // 16, T // 16)
        return self.fc_mu(self.out(x.flatten(1)))  # -> (B, 256) -> (B, num_outputs)
