"""The mel filterbank of the codecs' loss and of Griffin-Lim."""

from __future__ import annotations

import torch
from torch import Tensor


def hann_window(size: int) -> torch.Tensor:
    """Return a periodic Hann window (``size``,), float32, computed in float64: equal bits on every processor."""
    return torch.hann_window(size, dtype=torch.float64).float()


def mel_filterbank(num_bands: int, n_fft: int, rate: int) -> Tensor:
    """Return triangular filters, equally spaced on the HTK mel scale from 0 to ``rate / 2``, with weights of sum 1.

    Args:
        num_bands: Number of filters.
        n_fft: Length of the Fourier transform, samples.
        rate: Sampling rate, Hz.

    Returns:
        (num_bands, n_fft // 2 + 1); multiply magnitude spectra (..., n_fft // 2 + 1, T) by it from the left.

    >>> mel_filterbank(80, 1024, 16000).sum(1).allclose(torch.ones(80))
    True
    """
    top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700, dtype=torch.float64))
    edges = 700 * (10 ** (torch.linspace(0, float(top), num_bands + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - left) / (centre - left)  # (M, F)
    falling = (right - bins) / (right - centre)  # (M, F)
    weights = torch.minimum(rising, falling).clamp(min=0)
    # A low filter of a short transform may lie between two bins; it stays empty instead of dividing by zero.
    return (weights / weights.sum(1, keepdim=True).clamp(min=1e-9)).float()
