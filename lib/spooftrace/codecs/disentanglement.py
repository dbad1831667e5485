"""Disentanglement: the voice of an utterance is transmitted beside the codes, as 33 numbers.

A learnt speaker vector alone has little effect: the codes contain the speaker anyway, and the decoder ignores the
vector. Therefore the voice is measured and removed from the input of the encoder: frequencies are stretched to move
pitch and formants to those of an average voice (as in vocal-tract length normalization), and the long-term spectrum is
flattened. After the quantizer a few layers rebuild this neutral spectrum, the voice is restored, and the decoder
follows. The 33 numbers of another utterance give the copy the voice of that utterance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooftrace.codecs.blocks import ConvNeXtBlock
from spooftrace.codecs.mel import hann_window

BANDS = 32  # of the long-term spectrum
NEUTRAL_PITCH = 180.0  # Hz
PITCH_EXPONENT = 0.7  # formants differ less between voices than pitch: stretch by this power of the pitch ratio
STRETCH = (0.6, 1.7)
PITCH_RANGE = (70.0, 400.0)  # Hz
OCTAVE_COST = 0.05
BREAK = 0.5  # fraction of the neutral band with a linear stretch; the rest is mapped to the remaining band


def measure_voice(wave: Tensor, log_spectrum: Tensor, rate: int) -> Tensor:
    """Measure the voices (B, 33) of waves (B, N) with log spectra (B, F, T).

    A voice is the logarithm of the stretch, and the long-term spectrum in 32 bands. The bands are natural logarithms
    with a mean of 0: a voice has no level.
    """
    stretch = (pitch(wave, rate) / NEUTRAL_PITCH).pow(PITCH_EXPONENT).clamp(*STRETCH)  # (B,)
    power = torch.exp(2 * log_spectrum).mean(-1)  # (B, F, T) -> (B, F): loud frames count most
    colour = 0.5 * torch.log(F.adaptive_avg_pool1d(power.unsqueeze(1), BANDS)[:, 0])  # (B, F) -> (B, 32)
    return torch.cat([stretch.log()[:, None], colour - colour.mean(1, keepdim=True)], 1)


def pitch(wave: Tensor, rate: int) -> Tensor:
    """Return the median pitch (B,) in Hz of the voiced frames of waves (B, N), by autocorrelation; 180 without any."""
    size = rate * 64 // 1000
    wave = F.pad(wave, (0, max(size - wave.shape[-1], 0)))
    window = hann_window(size).to(wave)
    frames = wave.unfold(-1, size, size // 4) * window  # (B, N) -> (B, T, S)
    correlation = torch.fft.irfft(torch.fft.rfft(frames, 2 * size).abs().square())  # (B, T, 2 S)
    own = torch.fft.irfft(torch.fft.rfft(window, 2 * size).abs().square())
    first, last = (round(rate / frequency) for frequency in reversed(PITCH_RANGE))
    energy = correlation[..., :1]
    lags = torch.arange(first, last, device=wave.device, dtype=wave.dtype)
    # Divide by the autocorrelation of the window, which favours short lags. Multiples of the period have a small cost.
    height = correlation[..., first:last] / (energy + 1e-9) * (own[0] / own[first:last])
    strength, lag = (height - OCTAVE_COST * torch.log2(lags / first)).max(-1)  # (B, T)
    energy = energy[..., 0]
    voiced = (strength > 0.5) & (energy > 0.03 * energy.amax(-1, keepdim=True)) & (energy > 1e-6)
    median = torch.where(voiced, rate / (lag + first), math.nan).nanmedian(-1).values
    return torch.where(median.isnan(), NEUTRAL_PITCH, median)


def neutralize(log_spectrum: Tensor, voice: Tensor) -> Tensor:
    """Remove the voice (B, 33) from log spectra (B, F, T): flat on average, neutral pitch and formants."""
    return _stretch(log_spectrum - _colour(voice, log_spectrum.shape[1]), voice[:, 0].exp(), restore=False)


def restore(neutral: Tensor, voice: Tensor) -> Tensor:
    """Invert ``neutralize``, up to the loss of interpolation."""
    return _stretch(neutral, voice[:, 0].exp(), restore=True) + _colour(voice, neutral.shape[1])


def _colour(voice: Tensor, bins: int) -> Tensor:
    return F.interpolate(voice[:, None, 1:], bins, mode="linear").transpose(1, 2)  # (B, 32) -> (B, F, 1)


def _stretch(spectrum: Tensor, factor: Tensor, restore: bool) -> Tensor:
    """Move bins of (B, F, T): neutral bin f is bin ``factor`` f of the voice up to a break, then linear to the end."""
    bins, top = spectrum.shape[1], spectrum.shape[1] - 1
    factor = factor[:, None]  # (B, 1)
    place, corner = torch.arange(bins, device=spectrum.device).float(), BREAK * top
    slope = (top - factor * corner) / (top - corner)
    if restore:
        low = place < factor * corner
        source = torch.where(low, place / factor, corner + (place - factor * corner) / slope)  # (B, F)
    else:
        source = torch.where(place < corner, place * factor, factor * corner + (place - corner) * slope)
    source = source.clamp(0, top - 1e-3)
    lower = source.floor()
    weight = (source - lower)[..., None]  # (B, F, 1)
    index = lower.long()[..., None].expand_as(spectrum)
    return spectrum.gather(1, index) * (1 - weight) + spectrum.gather(1, index + 1) * weight


class VoiceRestorer(nn.Module):
    """Layers from vectors (B, T, D) and voices (B, 33) to log spectra (B, F, T) with these voices.

    Args:
        dim: Size D of the vectors.
        channels: Width of the layers that rebuild the neutral spectrum.
        bins: F.
    """

    def __init__(self, dim: int, channels: int, bins: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.rebuild = nn.Sequential(
            nn.Conv1d(dim, channels, 3, padding=1),
            ConvNeXtBlock(channels),
            ConvNeXtBlock(channels),
            nn.Conv1d(channels, bins, 1),
        )

    def forward(self, vectors: Tensor, voice: Tensor) -> Tensor:
        return restore(self.rebuild(self.norm(vectors).transpose(1, 2)), voice)  # (B, T, D) -> (B, F, T)
