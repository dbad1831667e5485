"""What all codecs have in common when speech is sent through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coder:
    """A codec ready to run.

    ``copy`` takes float32 (N,) at ``rate`` Hz, N at least ``frame``, and returns float32 of about the same length:
    encoded and decoded. ``delays``: the result may come later than the input by a time that has to be found.
    """

    rate: int
    frame: int
    copy: Callable[[np.ndarray], np.ndarray]
    delays: bool = False

    def at(self, rate: int) -> Callable[[np.ndarray], np.ndarray]:
        """``copy`` for float32 (N,) at another sampling rate, converted there and back with soxr (HQ)."""
        return lambda wave: resample(self.copy(resample(wave, rate, self.rate)), self.rate, rate)


def resample(wave: np.ndarray, source: int, target: int) -> np.ndarray:
    """float32 (N,) at ``source`` Hz -> (about N * target / source,), computed in float64."""
    if source == target:
        return wave
    import soxr  # only here: often the rates agree

    return soxr.resample(wave.astype(np.float64), source, target, quality="HQ").astype(np.float32)
