"""Copy synthesis without a neural network: the WORLD vocoder and Griffin-Lim."""

from __future__ import annotations

import numpy as np
import torch

from spooftrace.codecs.mel import hann_window, mel_filterbank
from spooftrace.common.sample_rate import SAMPLE_RATE


def world(wave: np.ndarray, rate: int = SAMPLE_RATE, coded_dims: int | None = None) -> np.ndarray:
    """Analyse speech into pitch, spectral envelope and aperiodicity with WORLD, and resynthesize it.

    DIO and StoneMask estimate the pitch; they are several times faster than Harvest.

    Args:
        wave: (N,) float.
        rate: Sampling rate in Hz.
        coded_dims: Keep only this many mel-cepstral coefficients of the envelope, as parametric TTS systems do.

    Returns:
        float32, a few samples longer than N.

    Source: Morise et al. 2016, "WORLD: a vocoder-based high-quality speech synthesis system".
    """
    import pyworld

    signal = np.ascontiguousarray(wave, dtype=np.float64)
    coarse, times = pyworld.dio(signal, rate)
    pitch = pyworld.stonemask(signal, coarse, times, rate)  # (T,) Hz, 0 where unvoiced
    envelope = pyworld.cheaptrick(signal, pitch, times, rate)  # (T, F)
    aperiodicity = pyworld.d4c(signal, pitch, times, rate)  # (T, F)
    if coded_dims is not None:
        n_fft = 2 * (envelope.shape[1] - 1)
        coded = pyworld.code_spectral_envelope(envelope, rate, coded_dims)  # (T, F) -> (T, coded_dims)
        envelope = pyworld.decode_spectral_envelope(coded, rate, n_fft)
        bands = pyworld.code_aperiodicity(aperiodicity, rate)  # (T, F) -> (T, bands)
        aperiodicity = pyworld.decode_aperiodicity(bands, rate, n_fft)
    return pyworld.synthesize(pitch, envelope, aperiodicity, rate).astype(np.float32)


def griffin_lim(
    wave: np.ndarray,
    rate: int = SAMPLE_RATE,
    num_mels: int = 80,
    n_fft: int = 1024,
    hop: int = 256,
    iterations: int = 32,
) -> np.ndarray:
    """Reduce speech to a mel spectrogram and reconstruct a waveform, from fixed random phases.

    Computed in float64: the iterations amplify rounding errors, and copies must be equal on every processor.

    Args:
        wave: (N,) float, N > ``n_fft`` / 2.
        rate: Sampling rate in Hz.
        num_mels: Bands of the mel spectrogram.
        n_fft: Length of window and transform, samples.
        hop: Samples between frames.
        iterations: Iterations of the phase estimate.

    Returns:
        float32 (N,).

    Source: the fast variant, with momentum 0.99, of Perraudin, Balazs and Søndergaard 2013.
    """
    signal = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float64))
    window = hann_window(n_fft).double()
    bank = mel_filterbank(num_mels, n_fft, rate).double()  # (M, F)
    spectrum = torch.stft(signal, n_fft, hop, window=window, return_complex=True)  # (N,) -> (F, T)
    mel = bank @ spectrum.abs()  # (F, T) -> (M, T)
    magnitude = (torch.linalg.pinv(bank) @ mel).clamp(min=0)  # (M, T) -> (F, T), least squares
    generator = torch.Generator().manual_seed(0)
    angles = 2 * torch.pi * torch.rand(magnitude.shape, generator=generator).double()
    phases = torch.polar(torch.ones_like(magnitude), angles)
    previous = torch.zeros_like(phases)
    for _ in range(iterations):
        estimate = torch.istft(magnitude * phases, n_fft, hop, window=window, length=len(signal))
        rebuilt = torch.stft(estimate, n_fft, hop, window=window, return_complex=True)
        ahead = rebuilt - 0.99 / 1.99 * previous
        phases = ahead / ahead.abs().clamp(min=1e-16)
        previous = rebuilt
    return torch.istft(magnitude * phases, n_fft, hop, window=window, length=len(signal)).float().numpy()
