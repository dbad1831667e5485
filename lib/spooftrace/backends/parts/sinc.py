"""Fixed sinc filter bank: the first layer of AASIST, RawNet2 and RawGAT-ST."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _hz_to_mel(hz: float) -> float:
    return 2595 * np.log10(1 + hz / 700)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)


def sinc_filters(num_filters: int, taps: int, rate: int = 16000) -> Tensor:
    """Compute Hamming-windowed band-pass impulse responses with band edges equally spaced in mel.

    The bands tile 0 Hz to ``rate / 2`` without overlap: band i ends where band i + 1 begins.

    Args:
        num_filters: Number of bands F.
        taps: Length of each impulse response in samples; must be odd for symmetric filters.
        rate: Sampling rate in Hz.

    Returns:
        (F, taps) float32, lowest band first.

    Raises:
        ValueError: ``taps`` is even or ``num_filters`` is not positive.

    Source: ``CONV`` in clovaai/aasist (models/AASIST.py), after RawNet2 (Tak et al. 2021).
    """
    if taps % 2 == 0 or taps < 1 or num_filters < 1:
        raise ValueError(
            f"a sinc bank needs an odd number of taps and at least one filter, not {taps} and {num_filters}"
        )
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(rate / 2), num_filters + 1))[:, None]  # (F + 1, 1) in Hz
    time = (np.arange(taps) - (taps - 1) / 2).astype(np.float32)  # (taps,) in samples, 0 in the middle
    # As in the official code, the sinc is computed in float32 and the rest in float64. The filters are then equal bit
    # for bit; trained networks amplify their rounding errors 400 times.
    phase = (2 * edges).astype(np.float32) * time / np.float32(rate)  # (F + 1, 1) * (taps,) -> (F + 1, taps)
    low_pass = (2 * edges / rate) * np.sinc(phase)  # (F + 1, taps): the ideal low-pass filter at each edge
    band_pass = np.diff(low_pass, axis=0).astype(np.float32) * np.hamming(taps).astype(np.float32)  # -> (F, taps)
    return torch.from_numpy(band_pass)


class SincBank(nn.Module):
    """Filter a waveform with ``sinc_filters``: (B, N) -> (B, F, N - taps + 1).

    The filters are neither trained nor saved: official checkpoints have no entry for them.
    """

    filters: Tensor

    def __init__(self, num_filters: int, taps: int, rate: int = 16000):
        super().__init__()
        filters = sinc_filters(num_filters, taps, rate).unsqueeze(1)  # (F, taps) -> (F, 1, taps)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        return F.conv1d(wave.unsqueeze(1), self.filters)  # (B, N) -> (B, 1, N) -> (B, F, N - taps + 1)
