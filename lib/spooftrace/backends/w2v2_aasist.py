"""W2V2-AASIST: the graph attention of AASIST over the frames of a speech foundation model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends.aasist import ResidualBlock
from spooftrace.backends.base import Backend
from spooftrace.backends.parts.aggregation import Aggregation, make_aggregation
from spooftrace.backends.parts.graph import GraphBranch, SpectroTemporalGraph
from spooftrace.backends.parts.shapes import to_frames


class W2V2AASIST(SpectroTemporalGraph, Backend):
    """W2V2-AASIST: frames (B, T, input_dim) -> logits (B, num_outputs).

    The frames are projected to ``reduced_dim`` and treated as a spectrogram with that many bins. AASIST takes the
    maximum over time and over frequency; this model takes sums weighted by attention. 447,242 parameters with the
    defaults, which are the published ones; 512 of them are in the ``bn1`` of blocks 2 to 6, which no output depends on
    (see ``ResidualBlock``).

    With several tasks, as in the D_* and M* systems of CodecFake+, each task has its own graph over shared nodes. Their
    outputs are concatenated in the order of ``num_outputs``; the attribute ``num_outputs`` is the sum.

    Streams: ``frames``, or ``layers`` (B, num_layers, T, input_dim) with an ``aggregation``; any T from 3 on.

    Args:
        input_dim: Width of the frames.
        num_outputs: Number of outputs, or a list with the number for each task, e.g. [2, 4].
        reduced_dim: Width after the projection; a third of it is the number of spectral nodes.
        channels: Output channels of the residual blocks.
        gat_dims, pool_ratios, temperatures: See ``SpectroTemporalGraph``.
        aggregation, num_layers: How layers become frames, see ``backends.parts.aggregation``; None takes frames.

    Raises:
        ValueError: Argument lists of a wrong length, no task, an unknown ``aggregation``, an input of another shape or
            shorter than 3 frames.

    Source: Tak et al., "Automatic speaker verification spoofing and deepfake detection using wav2vec 2.0 and data
    augmentation", Odyssey 2022; TakHemlata/SSL_Anti-spoofing, whose keys these are. The class ``W2VAASIST`` of
    xieyuankun/Codecfake is the same network with the classes swapped (output 0 is bona fide). Several tasks:
    Chen et al., "Codec-Based Deepfake Source Tracing via Neural Audio Codec Taxonomy", arXiv 2505.12994;
    ResponsibleGenAI/CodecFake-Source-Tracing: its first branch is the graph of this class, the others ``more_graphs``.
    """

    min_frames = 3

    def __init__(
        self,
        input_dim: int = 1024,
        num_outputs: int | Sequence[int] = 2,
        reduced_dim: int = 128,
        channels: Sequence[int] = (32, 32, 64, 64, 64, 64),
        gat_dims: Sequence[int] = (64, 32),
        pool_ratios: Sequence[float] = (0.5, 0.5, 0.5),
        temperatures: Sequence[float] = (2.0, 2.0, 100.0),
        aggregation: Aggregation | None = None,
        num_layers: int = 24,
    ):
        sizes = [num_outputs] if isinstance(num_outputs, int) else list(num_outputs)
        if not sizes:
            raise ValueError("num_outputs must have a number for each task; the list is empty")
        dim = channels[-1]
        graph = (dim, reduced_dim // 3, gat_dims, pool_ratios, temperatures)
        super().__init__(*graph, sizes[0])
        self.more_graphs = nn.ModuleList(GraphBranch(*graph, size) for size in sizes[1:])
        self.num_outputs = sum(sizes)
        self.layouts = (("frames" if aggregation is None else "layers",),)
        self.input_dim = input_dim
        self.aggregation = make_aggregation(aggregation, num_layers, input_dim)
        self.LL = nn.Linear(input_dim, reduced_dim)
        self.first_bn = nn.BatchNorm2d(1)
        self.first_bn1 = nn.BatchNorm2d(dim)
        widths = [1, *channels]
        self.encoder = nn.Sequential(
            *(nn.Sequential(ResidualBlock(widths[i], widths[i + 1], first=i == 0)) for i in range(len(channels)))
        )
        self.attention = nn.Sequential(
            nn.Conv2d(dim, 2 * dim, kernel_size=1),
            nn.SELU(),
            nn.BatchNorm2d(2 * dim),
            nn.Conv2d(2 * dim, dim, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes = self.nodes(to_frames(self, x))
        outputs = [self.classify(*nodes), *(graph(*nodes) for graph in self.more_graphs)]
        return torch.cat(outputs, dim=1)  # tasks x (B, outputs) -> (B, num_outputs)

    def nodes(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map frames (B, T, input_dim) to spectral nodes (B, reduced_dim // 3, C) and temporal nodes (B, T // 3, C)."""
        x = self.encode(frames)  # (B, C, F, N)
        attention = self.attention(x)
        spectral = (x * attention.softmax(dim=3)).sum(dim=3)  # over time: (B, C, F, N) -> (B, C, F)
        temporal = (x * attention.softmax(dim=2)).sum(dim=2)  # over frequency: (B, C, F, N) -> (B, C, N)
        return spectral.transpose(1, 2), temporal.transpose(1, 2)

    def encode(self, frames: Tensor) -> Tensor:
        """Encode frames (B, T, input_dim) as a spectro-temporal map (B, channels[-1], reduced_dim // 3, T // 3)."""
        x = self.LL(frames).transpose(1, 2).unsqueeze(1)  # (B, T, D) -> (B, T, D') -> (B, 1, D', T)
        x = F.max_pool2d(x, 3)  # -> (B, 1, D' // 3, T // 3)
        x = self.encoder(F.selu(self.first_bn(x)))  # -> (B, C, D' // 3, T // 3)
        return F.selu(self.first_bn1(x))
