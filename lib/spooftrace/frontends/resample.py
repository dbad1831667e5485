"""A change of the sample rate inside a network, where soxr cannot go (it runs on the CPU, on arrays)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.frontends.base import Length

ZEROS = 64  # zero crossings of the sinc on each side of its centre
ROLLOFF = 0.99  # of the lower Nyquist frequency: where the low-pass cuts


class Resample(nn.Module):
    """Waves (B, N) at ``source`` Hz -> (B, ceil(N * target / source)) at ``target`` Hz.

    Sinc interpolation (J. O. Smith, "Digital audio resampling"): 64 zero crossings a side, Hann window, cut at 0.99 of
    the lower Nyquist frequency, zeros beyond both ends. The numbers are those of torchaudio's Resample with
    ``lowpass_filter_width=64``; its default of 6 takes 1.6 dB away at 7 kHz already. A sample depends on the samples
    around it only, and zeros are beyond the end anyway, so that padding with zeros changes nothing.

    >>> Resample(16000, 24000)(torch.ones(1, 5)).shape
    torch.Size([1, 8])
    """

    def __init__(self, source: int, target: int):
        super().__init__()
        divisor = math.gcd(source, target)
        self.down, self.up = source // divisor, target // divisor  # 16 to 24 kHz: two samples become three
        cut = ROLLOFF * min(self.down, self.up)  # in zero crossings per ``down`` input samples
        self.reach = math.ceil(ZEROS * self.down / cut)  # input samples that matter, on each side
        taps = torch.arange(-self.reach, self.reach + self.down, dtype=torch.float64) / self.down
        phases = torch.arange(self.up, dtype=torch.float64).unsqueeze(1) / self.up  # (up, 1)
        distance = ((taps - phases) * cut).clamp(-ZEROS, ZEROS)  # (up, taps), in zero crossings
        window = torch.cos(distance * (torch.pi / 2 / ZEROS)).square()
        kernel = torch.sinc(distance) * window * (cut / self.down)
        self.register_buffer("kernel", kernel.unsqueeze(1).float(), persistent=False)  # (up, 1, taps)

    def num_samples(self, count: Length) -> Length:
        """Samples that ``count`` samples become (int or integer tensor)."""
        return (count * self.up + self.down - 1) // self.down

    def forward(self, wave: Tensor) -> Tensor:
        padded = F.pad(wave.unsqueeze(1), (self.reach, self.reach + self.down))
        x = F.conv1d(padded, self.kernel, stride=self.down)  # (B, 1, N) -> (B, up, N / down + 1)
        return x.transpose(1, 2).flatten(1)[:, : self.num_samples(wave.shape[1])]
