"""Levels that make a recording something else than it seems to be: silence, cancelling channels, clipping."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spooftrace.audio.notes import note

STEP = 2.0**-15  # of 16-bit samples; what never exceeds it is silence
SILENT_CHANNEL = 1e-3  # rms, relative to the loudest channel: 60 dB below
CANCELLED = 0.1  # rms of the average of all channels, relative to the loudest one: 20 dB below
LOSSY_PEAK = 2.0  # decoded MP3 or Vorbis overshoots full scale, not by so much
FULL_SCALE = 32766 / 32768
CLIPPED = 1e-3  # share of samples at full scale


class Levels:
    """Gathers what a recording's samples show, block by block.

    Args:
        channels: number of channels.
        lossy: the samples come out of a lossy decoder.
    """

    def __init__(self, channels: int, lossy: bool) -> None:
        self.lossy = lossy
        self.count = self.full = 0
        self.peak = 0.0
        self.energy = np.zeros(channels)  # of each channel
        self.mixed = 0.0  # of their average

    def add(self, samples: np.ndarray) -> bool:
        """Take in a block (N, C); False if it has samples that are not finite numbers."""
        size = np.abs(samples)
        peak = float(size.max())
        if not np.isfinite(peak):
            return False
        self.count += size.size
        self.peak = max(self.peak, peak)
        if peak >= FULL_SCALE:
            self.full += int(np.count_nonzero(size >= FULL_SCALE))
        if samples.shape[1] > 1:
            wide = samples.astype(np.float64)
            self.energy += np.square(wide).sum(axis=0)
            self.mixed += float(np.square(wide.mean(axis=1)).sum())
        return True

    def kinds(self) -> dict[str, str]:
        """The odd levels of the recording: kinds of ``spooftrace.audio.notes`` -> details, "" without any."""
        if self.peak < STEP:
            return {"silent": ""}
        kinds = {}
        if self.peak > (LOSSY_PEAK if self.lossy else 1.0):
            kinds["beyond"] = f"up to {self.peak:.4g}"
        elif self.full > CLIPPED * self.count:
            kinds["clipped"] = f"{self.full / self.count:.1%} of the samples are at full scale"
        rms = np.sqrt(self.energy)
        if rms.min() < SILENT_CHANNEL * rms.max():
            quiet = int(np.count_nonzero(rms < SILENT_CHANNEL * rms.max()))
            kinds["one-sided"] = f"{quiet} of {len(rms)} channels"
        elif np.sqrt(self.mixed) < CANCELLED * rms.max():
            kinds["antiphase"] = f"{20 * np.log10(max(np.sqrt(self.mixed) / rms.max(), 1e-10)):.0f} dB"
        return kinds

    def report(self, path: str | Path) -> None:
        """Note the odd levels of a file."""
        for kind, detail in self.kinds().items():
            note(path, kind, detail)
