"""The sampling rate of all systems: audio is resampled to it when it is read."""

from __future__ import annotations

SAMPLE_RATE = 16000  # Hz
