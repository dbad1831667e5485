"""Levels that make a recording unfit for a system: silence, mere noise, an offset, clipping, cancelling channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spooftrace.audio.notes import note

LSB = 2.0**-15  # least significant bit of 16-bit samples, relative to full scale; less is silence
DITHER = 2 * LSB  # amplitude of dither; a recording within it has no signal
OFFSET = 0.01  # constant offset: 40 dB below full scale
RELATIVE_OFFSET = 0.05  # or relative to the amplitude around it: about half of the RMS of speech
MIN_OFFSET_SAMPLES = 1000  # a shorter recording may end within a period
SILENT_CHANNEL = 1e-3  # RMS relative to the loudest channel: 60 dB below
CANCELLED = 0.1  # RMS of the average of all channels relative to the loudest channel: 20 dB below
LOSSY_PEAK = 2.0  # decoded MP3 or Vorbis overshoots full scale, but by less
FULL_SCALE = 32766 / 32768
CLIPPED = 1e-3  # fraction of samples at full scale
FLAT = 2e-4  # fraction of samples at a lower level where the wave is cut off
# A wave that is cut off has many samples within TOLERANCE of its extreme, and few at the next level below: a pure tone
# has at most 2.5 times, and coarse quantization such as mu-law about as many at either level.
TOLERANCE = 1.5 * LSB
PILE_UP = 4
MIN_PILE = 8  # samples at an extreme; fewer are no clipping, whatever their fraction
MIN_FLAT_PEAK = 0.02  # below it, 16-bit quantization puts many samples at the same level


class Levels:
    """Statistics of the samples of a recording, gathered block by block.

    Args:
        channels: Number of channels.
        lossy: The samples come from a lossy decoder.
    """

    def __init__(self, channels: int, lossy: bool) -> None:
        self.lossy = lossy
        self.frames = 0  # samples per channel
        self.full = 0  # samples of all channels at full scale
        self.high = np.full(channels, -np.inf)
        self.low = np.full(channels, np.inf)
        self.total = np.zeros(channels)
        self.energy = np.zeros(channels)
        self.mixed_energy = 0.0  # of the average of all channels
        self.extremes = [(_Extreme(), _Extreme()) for _ in range(channels)]  # positive and negative, of each channel

    def add(self, samples: np.ndarray) -> bool:
        """Add a block (N, C), N > 0; returns False if a sample is NaN or infinite."""
        high, low = samples.max(axis=0), samples.min(axis=0)  # (C,)
        if not (np.isfinite(high).all() and np.isfinite(low).all()):
            return False
        self.frames += len(samples)
        self.high, self.low = np.maximum(self.high, high), np.minimum(self.low, low)
        self.total += samples.sum(axis=0, dtype=np.float64)
        if max(high.max(), -low.min()) >= FULL_SCALE:
            self.full += int(np.count_nonzero(np.abs(samples) >= FULL_SCALE))
        if samples.shape[1] > 1:
            wide = samples.astype(np.float64)
            self.energy += np.square(wide).sum(axis=0)
            self.mixed_energy += float(np.square(wide.mean(axis=1)).sum())
        for channel, (positive, negative) in enumerate(self.extremes):
            positive.add(samples[:, channel], float(high[channel]))
            negative.add(-samples[:, channel], -float(low[channel]))
        return True

    def kinds(self) -> dict[str, str]:
        """Return the odd levels of the recording: kind of ``spooftrace.audio.notes`` -> detail, which may be ""."""
        peak = float(max(self.high.max(), -self.low.min()))
        amplitude = (self.high - self.low) / 2  # (C,), around any constant offset
        if peak < LSB or not amplitude.any():
            return {"silent": ""} | self._offset(amplitude)
        if amplitude.max() <= DITHER:
            return {"noise": f"at most {amplitude.max() / LSB:.2g} LSB of 16 bits"} | self._offset(amplitude)
        if peak > (LOSSY_PEAK if self.lossy else 1.0):
            return {"beyond": f"up to {peak:.4g}"} | self._channels()
        return self._clipping() | self._offset(amplitude) | self._channels()

    def report(self, path: str | Path) -> None:
        """Note the odd levels of a file."""
        for kind, detail in self.kinds().items():
            note(path, kind, detail)

    def _clipping(self) -> dict[str, str]:
        samples = self.frames * len(self.high)
        if self.full > CLIPPED * samples:
            return {"clipped": f"{self.full / samples:.1%} of the samples are at full scale"}
        flat = [extreme for pair in self.extremes for extreme in pair if extreme.is_flat()]
        count = sum(extreme.at_extreme for extreme in flat)
        if count > FLAT * samples:
            level = max(extreme.level for extreme in flat)
            return {"clipped": f"{count / samples:.1%} of the samples are at its peak of {level:.2f}"}
        return {}

    def _offset(self, amplitude: np.ndarray) -> dict[str, str]:
        if self.frames < MIN_OFFSET_SAMPLES:
            return {}
        offset = np.abs(self.total) / self.frames  # (C,)
        large = (offset > OFFSET) | ((offset > RELATIVE_OFFSET * amplitude) & (offset > DITHER))
        return {"offset": f"{offset.max():.2g} of full scale"} if large.any() else {}

    def _channels(self) -> dict[str, str]:
        rms = np.sqrt(self.energy)  # times a constant
        if rms.min() < SILENT_CHANNEL * rms.max():
            quiet = int(np.count_nonzero(rms < SILENT_CHANNEL * rms.max()))
            return {"one-sided": f"{quiet} of {len(rms)} channels"}
        mixed = np.sqrt(self.mixed_energy)
        if mixed < CANCELLED * rms.max():
            return {"antiphase": f"{20 * np.log10(max(mixed / rms.max(), 1e-10)):.0f} dB"}
        return {}


class _Extreme:
    """How many samples of a channel lie at its largest level, and how many at the next level below."""

    def __init__(self) -> None:
        self.level = -np.inf
        self.at_extreme = self.below = 0

    def add(self, samples: np.ndarray, largest: float) -> None:
        """Add a block (N,) with its largest sample."""
        if largest < self.level - TOLERANCE:
            return
        if largest > self.level + TOLERANCE:  # samples at the former level are no extreme any more
            self.at_extreme = self.below = 0
        self.level = max(self.level, largest)
        at_extreme = samples >= largest - TOLERANCE
        count = int(np.count_nonzero(at_extreme))
        self.at_extreme += count
        if count < MIN_PILE:
            return
        rest = samples[~at_extreme]
        if len(rest):
            self.below += int(np.count_nonzero(rest >= rest.max() - TOLERANCE))

    def is_flat(self) -> bool:
        """Whether the wave is cut off at this level."""
        # Two more at the next level, so that a count of zero or one there is no evidence.
        piled_up = self.at_extreme >= MIN_PILE and self.at_extreme > PILE_UP * (self.below + 2)
        return piled_up and self.level >= MIN_FLAT_PEAK
