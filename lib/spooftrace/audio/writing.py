"""Samples as 16-bit integers, and audio files that are written atomically."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from spooftrace.common.atomic import atomic_write
from spooftrace.common.sample_rate import SAMPLE_RATE


def write_flac(path: str | Path, samples: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write samples (N,), int16 or float with full scale 1, as 16-bit FLAC, atomically."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    with atomic_write(path, "wb") as file:
        file.write(buffer.getbuffer())


def to_int16(wave: np.ndarray, full_scale: int = 32768) -> np.ndarray:
    """Round and clip float samples with full scale 1 to int16.

    Args:
        wave: (N,) float.
        full_scale: The integer for 1.0. With 32768, samples that were read from 16-bit files come back exactly; with
            32767, the range is symmetric.

    Returns:
        (N,) int16.

    >>> to_int16(np.array([-2.0, -0.5, 0.25, 1.0])).tolist()
    [-32768, -16384, 8192, 32767]
    """
    return np.clip(np.rint(wave * full_scale), -full_scale, min(full_scale, 32767)).astype(np.int16)
