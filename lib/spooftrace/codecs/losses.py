"""Reconstruction loss of the codecs: spectra at several resolutions, without a waveform term or a discriminator."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from spooftrace.codecs.mel import mel_filterbank

MEL_BANDS = {16: 24, 32: 40, 64: 80, 128: 100}  # window in ms -> bands


class SpectralLosses(NamedTuple):
    """Terms of the loss.

    Attributes:
        mel: Mean absolute difference of natural log mel spectra.
        magnitude: Mean absolute difference of natural log magnitude spectra.
        convergence: Norm of the difference of magnitudes relative to the norm of the target, averaged over items.
    """

    mel: Tensor
    magnitude: Tensor
    convergence: Tensor


class MultiResolutionSpectralLoss(nn.Module):
    """Log-mel and log-magnitude distance averaged over four window lengths.

    Cf. Parallel WaveGAN (Yamamoto et al. 2020, section 2.2).

    Args:
        sample_rate: Hz; the windows of 16 to 128 ms scale with it.
    """

    def __init__(self, sample_rate: int = 16000) -> None:
        super().__init__()
        self.sizes = [duration * sample_rate // 1000 for duration in MEL_BANDS]
        for size, bands in zip(self.sizes, MEL_BANDS.values(), strict=True):
            window = torch.hann_window(size)
            # With windows of unit energy, white noise has the same level at every resolution.
            self.register_buffer(f"window{size}", window, persistent=False)
            self.register_buffer(f"gain{size}", window.square().sum().rsqrt(), persistent=False)
            self.register_buffer(f"bank{size}", mel_filterbank(bands, size, sample_rate), persistent=False)

    def forward(self, estimate: Tensor, target: Tensor) -> SpectralLosses:
        """Compare waveforms (B, N) with N of at least half the longest window."""
        mel = magnitude = convergence = estimate.new_zeros(())
        for size in self.sizes:
            a, b = self._spectrum(estimate, size), self._spectrum(target, size)  # (B, F, T)
            bank = self.get_buffer(f"bank{size}")
            # The floors hide differences below the noise of the recordings.
            mel = mel + (torch.log(bank @ a + 2e-4) - torch.log(bank @ b + 2e-4)).abs().mean()
            magnitude = magnitude + (torch.log(a + 5e-4) - torch.log(b + 5e-4)).abs().mean()
            norms = (a - b).square().sum((1, 2)).sqrt() / (b.square().sum((1, 2)).sqrt() + 1e-3)  # (B,)
            convergence = convergence + norms.mean()
        count = len(self.sizes)
        return SpectralLosses(mel / count, magnitude / count, convergence / count)

    def _spectrum(self, wave: Tensor, size: int) -> Tensor:
        window = self.get_buffer(f"window{size}")
        x = torch.stft(wave, size, size // 4, window=window, return_complex=True)  # (B, N) -> (B, F, T)
        # Not abs(): it has no gradient at 0.
        return (x.real.square() + x.imag.square() + 1e-12).sqrt() * self.get_buffer(f"gain{size}")
