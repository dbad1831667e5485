"""Post-processing of all classes of a generated corpus, to remove differences that the generation did not cause.

A detector learns any difference between the classes: a resampler's transition band, leading silence, the level, traces
of a limiter, digital silence after a vocoder. Bona fide and spoofed utterances therefore go through ``postprocess``:

* The level is low (-30 dB) to avoid a limiter. At -26 dB the peaks of some synthesizers reach full scale, and the ratio
  of peak to level alone identifies them.
* The band ends at 7.5 kHz. Recordings that have been resampled have a gap above 7.8 kHz, and every copy fills it: the
  energy there alone separated the classes of egs/mini.
* The sign is drawn for each utterance. A vocoder or codec gives all its copies the same polarity, a recording has the
  polarity of its microphone, and polarity is inaudible.
"""

from __future__ import annotations

import functools
import zlib

import numpy as np

from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE

CUTOFF = 60.0  # Hz; vocoders do not reproduce the mains hum and room noise below
BAND_EDGE = 7500.0  # Hz; the transition band of a resampler may lie above
BAND_TAPS = 255  # at 16 kHz: 200 Hz from pass band to stop band
LEVEL = -30.0  # dB relative to full scale, of the parts with speech
ACTIVE_RANGE = 30.0  # dB; quieter frames, relative to the loudest, do not count for the level
SILENCE_RANGE = 40.0  # dB; quieter frames, relative to the loudest, are silence for trimming
SILENT = -100.0  # dB; below the least significant bit of 16-bit samples
FULL_SCALE = 32768


def high_pass(wave: np.ndarray, rate: int = SAMPLE_RATE, cutoff: float = CUTOFF) -> np.ndarray:
    """Apply a Butterworth high-pass forwards and backwards: effectively of 8th order, without delay.

    Args:
        wave: (N,).
        rate: Sampling rate in Hz.
        cutoff: Frequency in Hz with an attenuation of 6 dB.

    Returns:
        float64 (N,).
    """
    from scipy.signal import butter, sosfiltfilt

    filters = butter(4, cutoff, "highpass", fs=rate, output="sos")
    # Extend both ends by 3 periods of the cutoff frequency where possible: the filter needs them to settle.
    padding = min(len(wave) - 1, int(3 * rate / cutoff))
    return sosfiltfilt(filters, np.asarray(wave, np.float64), padlen=padding)


def low_pass(wave: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Apply a low-pass at 7.5 kHz: a linear-phase FIR filter (Hamming window) with its delay removed.

    Args:
        wave: (N,).
        rate: Sampling rate in Hz, above 15 kHz.

    Returns:
        float64 (N,).
    """
    from scipy.signal import oaconvolve

    # Symmetric taps delay by half their number: drop the first and last 127 samples of (N + 254,).
    filtered = oaconvolve(np.asarray(wave, np.float64), _low_pass_taps(rate), mode="full")
    return filtered[BAND_TAPS // 2 : BAND_TAPS // 2 + len(wave)]


@functools.cache
def _low_pass_taps(rate: int) -> np.ndarray:
    """Return the taps (BAND_TAPS,) for a sampling rate."""
    from scipy.signal import firwin

    return firwin(BAND_TAPS, BAND_EDGE, fs=rate)


def trim_silence(wave: np.ndarray, rate: int = SAMPLE_RATE, margin: float = 0.05) -> np.ndarray:
    """Remove silence from both ends: 10 ms frames more than 40 dB below the loudest, except for ``margin`` seconds.

    Args:
        wave: (N,).
        rate: Sampling rate in Hz.
        margin: Seconds to keep before the first and after the last frame that is not silent.

    Returns:
        A view (M,), M <= N; the whole wave if it is silent throughout or shorter than a frame.
    """
    size = rate // 100
    power = frame_power(wave, size)
    if not len(power) or power.max() == 0:
        return wave
    loud = np.flatnonzero(power > power.max() * 10 ** (-SILENCE_RANGE / 10))
    keep = round(margin * rate)
    return wave[max(loud[0] * size - keep, 0) : (loud[-1] + 1) * size + keep]


def active_level(wave: np.ndarray, rate: int = SAMPLE_RATE) -> float:
    """Return the level of the frames with speech.

    It is the RMS of the 20 ms frames less than 30 dB below the loudest frame. Unlike ITU-T P.56 it has no hangover time
    and therefore works on single words.

    Returns:
        dB relative to full scale; minus infinity for digital silence or no samples.
    """
    wave = np.asarray(wave, np.float64)
    size = rate // 50
    power = frame_power(wave, size if len(wave) >= size else max(len(wave), 1))
    if not len(power) or power.max() == 0:
        return -np.inf
    return float(10 * np.log10(power[power > power.max() * 10 ** (-ACTIVE_RANGE / 10)].mean()))


def frame_power(wave: np.ndarray, size: int) -> np.ndarray:
    """Return the mean power of consecutive frames of ``size`` samples: (N,) -> (N // size,). The rest is dropped."""
    frames = np.asarray(wave, np.float64)[: len(wave) // size * size].reshape(-1, size)  # (N,) -> (N // size, size)
    return np.mean(frames**2, axis=1)


def triangular_noise(seed_text: str, size: int) -> np.ndarray:
    """Return noise (size,) with the triangular distribution over (-1, 1), equal for equal text on every machine.

    It is computed from the raw output of PCG64. NumPy guarantees that output for all versions, but not the methods of
    its generators.
    """
    raw = np.random.PCG64(zlib.crc32(seed_text.encode())).random_raw(2 * size)
    uniform = (raw >> np.uint64(11)) * 2.0**-53  # float64 holds 53 bits exactly
    return uniform[:size] - uniform[size:]


def postprocess(wave: np.ndarray, utt: str, rate: int = SAMPLE_RATE, level: float = LEVEL) -> np.ndarray:
    """High-pass, low-pass, remove the mean, draw the sign, set the active level, dither, round to 16 bits.

    The length does not change. The dither is triangular with a peak of 1 LSB, which makes the rounding error
    independent of the signal (Lipshitz et al. 1992). Dither and sign depend on the utterance id alone, which makes a
    corpus reproducible.

    Args:
        wave: (N,), full scale = 1, at any level.
        utt: Utterance id, for the sign, the dither and messages.
        rate: Sampling rate in Hz.
        level: Active level of the result in dB relative to full scale.

    Returns:
        int16 (N,).

    Raises:
        InputError: The wave is empty, silent or not finite, or would clip (there is deliberately no limiter).
    """
    wave = np.asarray(wave, np.float64)
    if not np.isfinite(wave).all():
        raise InputError(f"{utt}: the generated audio has NaN or infinite samples; check the vocoder or codec")
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
