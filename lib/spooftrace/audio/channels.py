"""Simulation of transmission channels: telephone band, companding to 8 bits, lossy codecs.

Arrays in, arrays of equal length out, aligned with the input. libsndfile (through soundfile) encodes and decodes the
lossy codecs in memory. Opus takes about ten times as long as the others.
"""

from __future__ import annotations

import io

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

from spooftrace.common.sample_rate import SAMPLE_RATE

TELEPHONE_BAND = (300.0, 3400.0)  # Hz
MU = 255.0  # of ITU-T G.711
A = 87.6
# Format, subtype, and the range from which libsndfile's compression level, 0 (best) to 1 (smallest), is drawn. For
# 16 kHz speech these are about 20 to 35 kbit/s of MP3, 35 to 55 of Vorbis and 15 to 60 of Opus.
LOSSY = {
    "mp3": ("MP3", "MPEG_LAYER_III", (0.5, 0.95)),
    "vorbis": ("OGG", "VORBIS", (0.5, 1.0)),
    "opus": ("OGG", "OPUS", (0.8, 0.98)),
}


def transmit(wave: np.ndarray, codec: str, rng: np.random.Generator) -> np.ndarray:
    """Send a wave through a channel.

    Args:
        wave: (N,) at 16 kHz, full scale = 1. Samples beyond full scale are clipped.
        codec: ``mulaw`` or ``alaw`` (8 bits) or ``gsm`` (13 bits, the input of the GSM coder, without the coder), all
            at 8 kHz with a band of 300 to 3400 Hz; or ``mp3``, ``vorbis``, ``opus`` at 16 kHz.
        rng: Draws the compression level of a lossy codec.

    Returns:
        (N,) float32.

    Raises:
        ValueError: The codec is unknown.
    """
    wave = np.clip(wave, -1, 1)
    if codec in LOSSY:
        return _encode_and_decode(wave, codec, rng)
    if codec not in NARROWBAND:
        raise ValueError(f"codec {codec!r} is none of {', '.join([*NARROWBAND, *LOSSY])}")
    narrow = np.clip(resample_poly(_telephone_band(wave), 1, 2), -1, 1)  # (N,) -> (ceil(N / 2),)
    return resample_poly(NARROWBAND[codec](narrow), 2, 1)[: len(wave)].astype(np.float32)


def mulaw(wave: np.ndarray) -> np.ndarray:
    """Compand by the mu-law, round to 8 bits, expand: (N,) -> (N,)."""
    code = _round(np.log1p(MU * np.abs(wave)) / np.log1p(MU), 8)
    return np.sign(wave) * np.expm1(code * np.log1p(MU)) / MU


def alaw(wave: np.ndarray) -> np.ndarray:
    """Compand by the A-law, round to 8 bits, expand: (N,) -> (N,)."""
    size = np.abs(wave)
    knee = 1 + np.log(A)  # the law is linear up to 1 / A and logarithmic above
    code = _round(np.where(size < 1 / A, A * size, 1 + np.log(np.maximum(A * size, 1))) / knee, 8)
    return np.sign(wave) * np.where(code < 1 / knee, code * knee / A, np.exp(code * knee - 1) / A)


def gsm(wave: np.ndarray) -> np.ndarray:
    """Round to 13 bits: (N,) -> (N,)."""
    return _round(wave, 13)


NARROWBAND = {"mulaw": mulaw, "alaw": alaw, "gsm": gsm}


def _round(values: np.ndarray, bits: int) -> np.ndarray:
    largest = 2 ** (bits - 1) - 1
    return np.rint(values * largest) / largest


def _telephone_band(wave: np.ndarray) -> np.ndarray:
    filters = butter(4, TELEPHONE_BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    return sosfiltfilt(filters, wave, padlen=min(len(wave) - 1, SAMPLE_RATE // 100))  # forwards and backwards: no delay


def _encode_and_decode(wave: np.ndarray, codec: str, rng: np.random.Generator) -> np.ndarray:
    import soundfile

    kind, subtype, levels = LOSSY[codec]
    file = io.BytesIO()
    soundfile.write(file, wave, SAMPLE_RATE, format=kind, subtype=subtype, compression_level=rng.uniform(*levels))
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return decoded[: len(wave)]
