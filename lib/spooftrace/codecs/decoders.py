"""Decoders of the two domains: a spectrum with an inverse STFT, and a waveform built by upsampling.

Both have the same trunk at the frame rate, so they differ in their domain only.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.codecs.blocks import ConvNeXtBlock, ResidualUnit, Snake, Upsample
from spooftrace.codecs.mel import hann_window


class Decoder(nn.Sequential, ABC):
    """A convolution, ConvNeXt blocks, and the ``head`` of a subclass.

    Args:
        dim: Size of the code vectors.
        channels: Width of the trunk.
        blocks: ConvNeXt blocks.
        head: Layers from (B, channels, T) to the input of ``synthesize``.
    """

    def __init__(self, dim: int, channels: int, blocks: int, head: nn.Module) -> None:
        trunk = (ConvNeXtBlock(channels) for _ in range(blocks))
        super().__init__(nn.Conv1d(dim, channels, 3, padding=1), *trunk, head)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the output of the head for vectors (B, T, D)."""
        return super().forward(vectors.transpose(1, 2))  # (B, T, D) -> (B, D, T) -> ...

    @abstractmethod
    def synthesize(self, vectors: Tensor, length: int) -> Tensor:
        """Return the waveforms (B, ``length``) of vectors (B, T, D); frame t is centred on sample t * hop."""


class FrequencyDecoder(Decoder):
    """Magnitude and phase of each frame, then an inverse STFT, as in Vocos (Siuzdak 2024, section 3).

    Args:
        dim, channels, blocks: See ``Decoder``.
        hop: Samples between two frames.
        overlap: Length of the transform in hops.
    """

    window: Tensor

    def __init__(self, dim: int, channels: int, blocks: int, hop: int, overlap: int = 2) -> None:
        n_fft = overlap * hop
        super().__init__(dim, channels, blocks, nn.Conv1d(channels, 2 * (n_fft // 2 + 1), 1))
        self.hop, self.n_fft = hop, n_fft
        self.register_buffer("window", hann_window(n_fft), persistent=False)

    def synthesize(self, vectors: Tensor, length: int) -> Tensor:
        log_magnitude, phase = self(vectors).chunk(2, 1)  # (B, 2 F, T) -> 2 x (B, F, T)
        # An untrained decoder may output huge magnitudes, or magnitudes so small that their phase has no gradient.
        # Speech at this level stays far below e^6.
        spectrum = torch.polar(torch.exp(log_magnitude.clamp(-40, 6)), phase)
        return torch.istft(spectrum, self.n_fft, self.hop, window=self.window, length=length)


class TimeDecoder(Decoder):
    """Transposed convolutions with snake activations up to the sampling rate, as in DAC (Kumar et al. 2023, 3.1).

    Args:
        dim, channels, blocks: See ``Decoder``.
        hop: Samples between two frames; the product of the four upsampling factors.
        overlap: Not used, for the same signature as ``FrequencyDecoder``.
    """

    WIDTHS = (96, 48, 24, 12)

    def __init__(self, dim: int, channels: int, blocks: int, hop: int, overlap: int = 2) -> None:
        stages: list[nn.Module] = []
        width = channels
        for factor, narrower in zip(four_factors(hop), self.WIDTHS, strict=True):
            stages += [Snake(width), Upsample(width, narrower, factor)]
            if narrower != self.WIDTHS[-1]:  # at the full rate a residual unit would cost as much as all other layers
                stages.append(ResidualUnit(narrower))
            width = narrower
        stages += [Snake(width), nn.Conv1d(width, 1, 7, padding=3)]
        super().__init__(dim, channels, blocks, nn.Sequential(*stages))
        self.hop = hop

    def synthesize(self, vectors: Tensor, length: int) -> Tensor:
        wave = self(vectors)[:, 0]  # (B, 1, T hop) -> (B, T hop)
        # Upsampling turns a frame into hop samples; shift them to centre the frame.
        wave = wave[:, self.hop // 2 : self.hop // 2 + length]
        return F.pad(wave, (0, length - wave.shape[-1]))


def four_factors(number: int) -> list[int]:
    """Factorise ``number`` into four similar factors, largest first, by merging its prime factors.

    >>> four_factors(320)
    [5, 4, 4, 4]
    >>> four_factors(480)
    [6, 5, 4, 4]
    """
    factors, rest, prime = [], number, 2
    while rest > 1:
        while rest % prime == 0:
            factors.append(prime)
            rest //= prime
        prime += 1
    heapq.heapify(factors)
    while len(factors) > 4:
        heapq.heappush(factors, heapq.heappop(factors) * heapq.heappop(factors))
    return sorted(factors, reverse=True) + [1] * (4 - len(factors))


DECODERS: dict[str, type[FrequencyDecoder] | type[TimeDecoder]] = {"frequency": FrequencyDecoder, "time": TimeDecoder}
