"""AASIST: raw waveform in, graph attention over a learned spectrogram, logits out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooftrace.backends.base import Backend
from spooftrace.backends.parts.batchnorm import PreciseBatchNorm2d
from spooftrace.backends.parts.graph import SpectroTemporalGraph
from spooftrace.backends.parts.sinc import SincBank


class ResidualBlock(nn.Module):
    """Two (2, 3) convolutions with a shortcut, frequency and time axes kept: (B, C, F, T) -> (B, C', F, T).

    The official block also runs the input through ``bn1`` and SELU, but discards the result and convolves the raw
    input. Here ``bn1`` exists only for official checkpoints to load strictly, and is not run. Its weights are not
    trained (``requires_grad`` is false, and DDP does not wait for their gradients), and its running statistics, which
    the official code keeps updating, stay as loaded. Outputs and gradients are the same.
    """

    def __init__(self, in_channels: int, out_channels: int, first: bool = False):
        super().__init__()
        if not first:
            self.bn1 = nn.BatchNorm2d(in_channels).requires_grad_(False)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=(2, 3), padding=(1, 1))
        self.bn2 = PreciseBatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=(2, 3), padding=(0, 1))
        self.conv_downsample = None
        if in_channels != out_channels:
            self.conv_downsample = nn.Conv2d(in_channels, out_channels, kernel_size=(1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.conv_downsample is None else self.conv_downsample(x)  # -> (B, C', F, T)
        x = F.selu(self.bn2(self.conv1(x)), inplace=True)  # (B, C, F, T) -> (B, C', F + 1, T)
        return self.conv2(x) + shortcut  # (B, C', F + 1, T) -> (B, C', F, T)


class AASIST(SpectroTemporalGraph, Backend):
    """AASIST and AASIST-L: waveforms (B, N) at 16 kHz -> logits (B, num_outputs), class 1 = bona fide.

    The defaults are AASIST (297,866 parameters). AASIST-L (85,306) is::

        AASIST(channels=[32, 32, 24, 24, 24, 24], gat_dims=[24, 32], pool_ratios=[0.4, 0.5, 0.7])

    Streams: ``wave``. Any length from ``min_samples`` on works (2,315 samples, 0.14 s, by default); the published
    systems use 64,600.

    Both counts include the ``bn1`` weights of blocks 2 to 6, which no output depends on: see ``ResidualBlock``.

    Args:
        num_outputs: Number of outputs.
        sinc_filters: Bands of the fixed sinc bank.
        sinc_taps: Length of its filters, odd. The official ``first_conv: 128`` makes 129.
        channels: Output channels of the residual blocks; each block pools time by 3.
        gat_dims, pool_ratios, temperatures: See ``SpectroTemporalGraph``.

    Raises:
        ValueError: Argument lists of a wrong length; an input that is not (B, N) or is shorter than ``min_samples``.

    Source: Jung et al., "AASIST: Audio anti-spoofing using integrated spectro-temporal graph attention networks",
    ICASSP 2022; clovaai/aasist, whose checkpoints load strictly.

    >>> import torch
    >>> AASIST().eval()(torch.zeros(2, 16000)).shape
    torch.Size([2, 2])
    """

    layouts = (("wave",),)

    def __init__(
        self,
        num_outputs: int = 2,
        sinc_filters: int = 70,
        sinc_taps: int = 129,
        channels: Sequence[int] = (32, 32, 64, 64, 64, 64),
        gat_dims: Sequence[int] = (64, 32),
        pool_ratios: Sequence[float] = (0.5, 0.7, 0.5),
        temperatures: Sequence[float] = (2.0, 2.0, 100.0),
    ):
        super().__init__(channels[-1], sinc_filters // 3, gat_dims, pool_ratios, temperatures, num_outputs)
        self.min_samples = sinc_taps - 1 + 3 ** (1 + len(channels))  # leaves one temporal node
        self.conv_time = SincBank(sinc_filters, sinc_taps)
        self.first_bn = nn.BatchNorm2d(1)
        widths = [1, *channels]
        self.encoder = nn.Sequential(
            *(
                nn.Sequential(ResidualBlock(widths[i], widths[i + 1], first=i == 0), nn.MaxPool2d((1, 3)))
                for i in range(len(channels))
            )
        )

    def forward(self, wave: Tensor) -> Tensor:
        if wave.ndim != 2 or wave.size(1) < self.min_samples:
            raise ValueError(
                f"AASIST takes waveforms (B, N) with N of at least {self.min_samples} samples; got {tuple(wave.shape)}"
            )
        x = self.encode(wave).abs()  # (B, N) -> (B, C, F, T)
        spectral = x.max(dim=3).values.transpose(1, 2)  # maximum over time: (B, C, F) -> (B, F, C)
        temporal = x.max(dim=2).values.transpose(1, 2)  # maximum over frequency: (B, C, T) -> (B, T, C)
        return self.classify(spectral, temporal)

    def encode(self, wave: Tensor) -> Tensor:
        """Waveforms (B, N) -> spectro-temporal map (B, channels[-1], sinc_filters // 3, T)."""
        x = self.conv_time(wave).abs().unsqueeze(1)  # (B, N) -> (B, F0, N') -> (B, 1, F0, N')
        x = F.max_pool2d(x, 3)  # (B, 1, F0, N') -> (B, 1, F0 // 3, N' // 3)
        x = F.selu(self.first_bn(x), inplace=True)
        if x.device.type == "cpu" and x.dtype == torch.float32:
            # With channels last, a CPU needs 0.6 times as long for scoring and 0.7 times for training.
            # PreciseBatchNorm2d is precise for float32 only.
            x = x.to(memory_format=torch.channels_last)
        return self.encoder(x)  # (B, 1, F, N' // 3) -> (B, C, F, T), T = N' // 3 ** (1 + blocks)
