"""Spectral features: log-mel energies and linear-frequency cepstral coefficients.

Frames are centred on every 160th sample (10 ms), with zeros beyond both ends: T = 1 + N // 160.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.frontends.base import FrontEnd, Length, length_mask

HOP = 160  # 10 ms
N_FFT = 512


class _FilterBank(FrontEnd):
    """Base class: power spectrum, triangular filters and framing."""

    window: Tensor
    filters: Tensor

    def __init__(self, dim: int, window: Tensor, edges: Tensor, cmn: bool):
        """Set up a window (W,) and edges (M + 2,) in Hz: filter m rises from edge m to m + 1 and falls to m + 2."""
        super().__init__("frames", dim=dim, frame_rate=SAMPLE_RATE / HOP)
        self.cmn = cmn
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", triangular_filters(edges), persistent=False)  # (N_FFT / 2 + 1, M)
        self.freeze_unless_finetuned()

    def num_frames(self, num_samples: Length) -> Length:
        return 1 + num_samples // HOP

    def energies(self, wave: Tensor) -> Tensor:
        """Compute the power in each filter, (B, T, M), of waves (B, N)."""
        spectrum = torch.stft(
            wave, N_FFT, HOP, len(self.window), self.window, center=True, pad_mode="constant", return_complex=True
        )  # (B, N) -> (B, F, T)
        power = spectrum.real.square() + spectrum.imag.square()
        return power.transpose(1, 2) @ self.filters  # (B, F, T) -> (B, T, F) -> (B, T, M)

    def extract(self, wave: Tensor, wave_len: Tensor) -> Tensor:
        # Reduced precision would distort the logarithms of small energies.
        with torch.autocast(wave.device.type, enabled=False):
            return self.features(wave, wave_len, self.num_frames(wave_len))

    @abstractmethod
    def features(self, wave: Tensor, wave_len: Tensor, frames_len: Tensor) -> Tensor:
        """Compute the features (B, T, D), zero after the end, of waves (B, N) that are zero after the end."""


class LogMel(_FilterBank):
    """Log-mel filter bank energies: (B, N) -> (B, 1 + N // 160, n_mels), 100 frames per second.

    25 ms Hann windows, 512-point FFT, power, triangles between points equally spaced on the mel scale of the HTK book
    (2595 log10(1 + f / 700)) from 20 Hz, Kaldi's lower edge, to 8 kHz, natural logarithm, floor 1e-10.

    Args:
        n_mels: Number of filters, 1..80; with more, some filters would fall between two FFT bins.
        cmn: Subtract each filter's mean over the utterance.

    Raises:
        ValueError: ``n_mels`` is out of range.
    """

    def __init__(self, n_mels: int = 80, cmn: bool = False):
        if not 1 <= n_mels <= 80:
            raise ValueError(f"n_mels {n_mels} is not within 1..80")
        low, high = (2595.0 * math.log10(1.0 + hertz / 700.0) for hertz in (20.0, SAMPLE_RATE / 2))
        mels = torch.linspace(low, high, n_mels + 2, dtype=torch.float64)
        super().__init__(n_mels, torch.hann_window(400), 700.0 * (10.0 ** (mels / 2595.0) - 1.0), cmn)

    def features(self, wave: Tensor, wave_len: Tensor, frames_len: Tensor) -> Tensor:
        x = self.energies(wave).clamp(min=1e-10).log()  # (B, T, M)
        valid = length_mask(frames_len, x.shape[1])
        return (subtract_mean(x, valid) if self.cmn else x) * valid.unsqueeze(2)

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {"n_mels": self.dim, "cmn": self.cmn}


class LFCC(_FilterBank):
    """Linear-frequency cepstral coefficients: (B, N) -> (B, 1 + N // 160, 60), 100 frames per second.

    The settings are those of the ASVspoof baselines (LFCC-GMM of 2019, LFCC-LCNN of 2021): 20 ms Hamming windows,
    512-point FFT, 20 linear triangles over 0..8 kHz, log10, 20 cepstral coefficients with the zeroth, delta,
    delta-delta; no energy. Framing and details (pre-emphasis 0.97, delta = next minus previous frame) as in ``LFCC`` of
    ``sandbox/util_frontend.py``, nii-yamagishilab/project-NN-Pytorch-scripts.

    Args:
        cmn: Subtract each static coefficient's mean over the utterance, which does not change the deltas.
    """

    NUM_FILTERS = 20
    dct: Tensor

    def __init__(self, cmn: bool = False):
        edges = torch.linspace(0.0, SAMPLE_RATE / 2, self.NUM_FILTERS + 2, dtype=torch.float64)
        super().__init__(3 * self.NUM_FILTERS, torch.hamming_window(320), edges, cmn)
        self.register_buffer("dct", dct_matrix(self.NUM_FILTERS), persistent=False)

    def features(self, wave: Tensor, wave_len: Tensor, frames_len: Tensor) -> Tensor:
        emphasised = wave - 0.97 * F.pad(wave[:, :-1], (1, 0))
        # Pre-emphasis makes the first sample after the end nonzero.
        wave = emphasised * length_mask(wave_len, wave.shape[1])
        log = (self.energies(wave) + torch.finfo(torch.float32).eps).log10()
        x = log @ self.dct  # (B, T, 20)
        valid = length_mask(frames_len, x.shape[1])
        if self.cmn:
            x = subtract_mean(x, valid)
        first = delta(x, frames_len)
        x = torch.cat([x, first, delta(first, frames_len)], dim=2)  # 3 x (B, T, 20) -> (B, T, 60)
        return x * valid.unsqueeze(2)

    def arguments(self) -> dict[str, str | int | float | bool]:
        return {"cmn": self.cmn}


def triangular_filters(edges: Tensor) -> Tensor:
    """Build filters of height 1 over the FFT bins: edges (M + 2,) in Hz -> (N_FFT / 2 + 1, M) float32."""
    points = torch.arange(N_FFT // 2 + 1, dtype=edges.dtype).unsqueeze(1) * (SAMPLE_RATE / N_FFT)  # (F, 1)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]  # (M,) each
    rising = (points - left) / (centre - left)  # (F, 1) with (M,) -> (F, M)
    falling = (right - points) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0.0).float()


def dct_matrix(size: int) -> Tensor:
    """Build an orthonormal DCT-II matrix for ``x @ matrix``: (size, size), column k is the k-th basis function."""
    n = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(torch.pi / size * (n.unsqueeze(1) + 0.5) * n) * math.sqrt(2.0 / size)
    matrix[:, 0] *= math.sqrt(0.5)
    return matrix.float()


def subtract_mean(x: Tensor, valid: Tensor) -> Tensor:
    """Subtract the mean over the valid frames: x (B, T, D), valid (B, T)."""
    weight = valid.unsqueeze(2).to(x.dtype)
    return x - (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)


def delta(x: Tensor, frames_len: Tensor) -> Tensor:
    """Compute next minus previous frame, with the first and last frame repeated: (B, T, D) -> (B, T, D)."""
    time = torch.arange(x.shape[1], device=x.device)
    following = torch.minimum(time + 1, (frames_len - 1).unsqueeze(1))  # (B, T)
    previous = (time - 1).clamp(min=0).expand_as(following)
    pick = [index.unsqueeze(2).expand_as(x) for index in (following, previous)]
    return x.gather(1, pick[0]) - x.gather(1, pick[1])
