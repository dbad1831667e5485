"""The common interface of codecs and channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coder:
    """A codec or channel that is ready to run.

    Attributes:
        rate: Sampling rate in Hz.
        frame: Minimum number of samples.
        copy: Encodes and decodes float32 (N,) at ``rate``; returns float32 of about the same length.
        delays: Whether the copy may have an unknown delay.
    """

    rate: int
    frame: int
    copy: Callable[[np.ndarray], np.ndarray]
    delays: bool = False

    def at(self, rate: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return ``copy`` for float32 (N,) at another sampling rate, converted with soxr (HQ)."""
        return lambda wave: resample(self.copy(resample(wave, rate, self.rate)), self.rate, rate)


def resample(wave: np.ndarray, source: int, target: int) -> np.ndarray:
    """Convert float32 (N,) from ``source`` to ``target`` Hz in float64: (about N * target / source,)."""
    if source == target:
        return wave
    import soxr  # imported here because often the rates agree

    return soxr.resample(wave.astype(np.float64), source, target, quality="HQ").astype(np.float32)
