"""Atomic writing of audio files."""

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
