"""The last steps that every class of a generated corpus shares, so that only the generation itself tells them apart.

A detector learns whatever differs between the classes: a resampler's transition band, leading silence, level, a
limiter at work, digital silence after a vocoder. Bona fide and spoofed utterances therefore all go through ``finish``.
The level is low (-30 dB) so that no limiter is needed: at -26 dB the peaks of some synthesizers reached full scale,
and peak over level alone then gave them away. The band ends at 7.5 kHz because recordings that were once resampled have
a gap above 7.8 kHz, which every copy fills: the energy there alone told the classes of egs/mini apart. The sign is
drawn for each utterance because a vocoder or codec gives all its copies one polarity, a recording has that of its
microphone, and polarity is inaudible.
"""

from __future__ import annotations

import functools
import zlib

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE

CUTOFF = 60.0  # Hz; below there is mains hum and room noise, which vocoders do not reproduce
BAND_EDGE = 7500.0  # Hz; above there may be the transition band of a resampler
BAND_TAPS = 255  # at 16 kHz: 200 Hz from pass band to stop band
LEVEL = -30.0  # dB relative to full scale, of the parts with speech
ACTIVE_RANGE = 30.0  # dB below the loudest frame that still count as speech for the level
SILENCE_RANGE = 40.0  # dB below the loudest frame that still count as sound for trimming
SILENT = -100.0  # dB; less than the least significant bit of 16, nothing to bring up to the level
FULL_SCALE = 32768


def high_pass(wave: np.ndarray, rate: int = SAMPLE_RATE, cutoff: float = CUTOFF) -> np.ndarray:
    """Butterworth high-pass, forwards and backwards: 8th order in effect, no delay.

    Args:
        wave: (N,).
        rate: sampling rate in Hz.
        cutoff: Hz; here the attenuation is 6 dB.

    Returns:
        float64 (N,).
    """
    from scipy.signal import butter, sosfiltfilt

    filters = butter(4, cutoff, "highpass", fs=rate, output="sos")
    # The ends are continued by 3 periods of the cutoff frequency, where possible, for the filter to settle.
    padding = min(len(wave) - 1, int(3 * rate / cutoff))
    return sosfiltfilt(filters, np.asarray(wave, np.float64), padlen=padding)


def low_pass(wave: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Low-pass at 7.5 kHz with a linear-phase FIR filter (Hamming window), its delay taken out.

    Args:
        wave: (N,).
        rate: sampling rate in Hz, above 15 kHz.

    Returns:
        float64 (N,).
    """
    from scipy.signal import oaconvolve

    # Symmetric taps delay by half their number: the first and last 127 samples of (N + 254,) are left out.
    filtered = oaconvolve(np.asarray(wave, np.float64), _low_pass_taps(rate), mode="full")
    return filtered[BAND_TAPS // 2 : BAND_TAPS // 2 + len(wave)]


@functools.cache
def _low_pass_taps(rate: int) -> np.ndarray:
    """Designed once for each rate: (BAND_TAPS,)."""
    from scipy.signal import firwin

    return firwin(BAND_TAPS, BAND_EDGE, fs=rate)


def trim_silence(wave: np.ndarray, rate: int = SAMPLE_RATE, margin: float = 0.05) -> np.ndarray:
    """Cut silence off both ends: frames of 10 ms more than 40 dB below the loudest one, but for ``margin`` seconds.

    Args:
        wave: (N,).
        rate: sampling rate in Hz.
        margin: seconds to keep before the first and after the last frame that is not silent.

    Returns:
        A view (M,), M <= N; a wave that is silent throughout, or shorter than a frame, comes back whole.
    """
    size = rate // 100
    power = frame_power(wave, size)
    if not len(power) or power.max() == 0:
        return wave
    loud = np.flatnonzero(power > power.max() * 10 ** (-SILENCE_RANGE / 10))
    keep = round(margin * rate)
    return wave[max(loud[0] * size - keep, 0) : (loud[-1] + 1) * size + keep]


def active_level(wave: np.ndarray, rate: int = SAMPLE_RATE) -> float:
    """Level of the parts with speech: the RMS, in dB of full scale, of the 20 ms frames less than 30 dB
    below the loudest one. (A stand-in for ITU-T P.56 that needs no hangover time and so works on single words.)

    Returns:
        dB; minus infinity for digital silence or no samples.
    """
    wave = np.asarray(wave, np.float64)
    size = rate // 50
    power = frame_power(wave, size if len(wave) >= size else max(len(wave), 1))
    if not len(power) or power.max() == 0:
        return -np.inf
    return float(10 * np.log10(power[power > power.max() * 10 ** (-ACTIVE_RANGE / 10)].mean()))


def frame_power(wave: np.ndarray, size: int) -> np.ndarray:
    """Mean power of consecutive frames of ``size`` samples, an incomplete last one left out: (N,) -> (N // size,)."""
    frames = np.asarray(wave, np.float64)[: len(wave) // size * size].reshape(-1, size)  # (N,) -> (N // size, size)
    return np.mean(frames**2, axis=1)


def triangular_noise(seed_text: str, size: int) -> np.ndarray:
    """Noise with the triangular distribution over (-1, 1), the same for the same text on every machine: (size,).

    Taken from the raw output of PCG64, which NumPy guarantees for ever, unlike the methods of a generator.
    """
    raw = np.random.PCG64(zlib.crc32(seed_text.encode())).random_raw(2 * size)
    uniform = (raw >> np.uint64(11)) * 2.0**-53  # 53 bits are what a double holds exactly
    return uniform[:size] - uniform[size:]


def finish(wave: np.ndarray, utt: str, rate: int = SAMPLE_RATE, level: float = LEVEL) -> np.ndarray:
    """High-pass, low-pass, remove the mean, draw the sign, set the active level, dither, round to 16 bit.

    The length stays. The dither is triangular with a peak of 1 LSB, which makes the rounding error independent of the
    signal (Lipshitz et al. 1992). It and the sign are drawn by the utterance id, so that a corpus comes out the same
    every time.

    Args:
        wave: (N,), full scale = 1; its level does not matter.
        utt: utterance id, for the sign, the dither and messages.
        rate: sampling rate in Hz.
        level: active level in dB of full scale.

    Returns:
        int16 (N,).

    Raises:
        InputError: the wave is empty, silent or not finite, or would clip (there is no limiter, on purpose).
    """
    wave = np.asarray(wave, np.float64)
    if not np.isfinite(wave).all():
        raise InputError(f"{utt}: the generated audio has NaN or infinite samples; check the system that made it")
    if len(wave):
        wave = low_pass(high_pass(wave, rate), rate)
        wave = wave - wave.mean()
    present = active_level(wave, rate)
    if present < SILENT:
        raise InputError(f"{utt}: the audio is empty or silent; leave the utterance out")
    sign = 1 if triangular_noise(f"{utt} sign", 1)[0] > 0 else -1
    wave = wave * sign * 10 ** ((level - present) / 20) * FULL_SCALE
    wave = np.rint(wave + triangular_noise(utt, len(wave)))
    if np.abs(wave).max() >= FULL_SCALE:
        peak = 20 * np.log10(np.abs(wave).max() / FULL_SCALE)
        raise InputError(f"{utt}: peaks at {peak:+.1f} dB when its speech is at {level:g} dB; leave the utterance out")
    return wave.astype(np.int16)
