"""Augmentation of training utterances.

Every step depends only on its input and a random generator. ``Augmentation`` seeds a generator for each step, utterance
and epoch. The draws therefore do not depend on loader processes, on resuming, or on which other steps are enabled.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from scipy.signal import oaconvolve

from spooftrace.audio.augment_options import AugmentOptions, Codecs, Noise, Reverb, SpecAugment
from spooftrace.audio.channels import transmit
from spooftrace.audio.rawboost import rawboost, rms
from spooftrace.audio.reading import audio_info, read_audio
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE
from spooftrace.datadir.tables import read_table


class Augmentation:
    """The enabled steps, in the order of the signal path: room, noise, channel, codec.

    Args:
        options: The enabled steps and their settings, as in the section ``data`` of a configuration.

    Raises:
        InputError: An scp file is missing, malformed or empty.
    """

    def __init__(self, options: AugmentOptions) -> None:
        self.options = options
        self.responses = _files(options.reverb.scp) if options.reverb else []
        self.noises = _files(options.noise.scp) if options.noise else []

    def wave(self, wave: np.ndarray, key: Sequence[int]) -> np.ndarray:
        """Augment a whole utterance.

        Args:
            wave: (N,), samples at 16 kHz.
            key: Integers that determine all draws, e.g. (seed, epoch, utterance).

        Returns:
            float32 (N,).

        Raises:
            InputError: A noise file or room response is missing or damaged.
        """
        options = self.options
        if options.reverb:
            wave = self._reverb(wave, options.reverb, _generator(key, 1))
        if options.noise:
            wave = self._noise(wave, options.noise, _generator(key, 2))
        if options.rawboost:
            rng = _generator(key, 3)
            state, chance = np.random.RandomState(rng.integers(1 << 32)), random.Random(int(rng.integers(1 << 32)))
            wave = rawboost(wave, options.rawboost, state, chance)
        if options.codec:
            wave = self._codec(wave, options.codec, _generator(key, 4))
        return wave.astype(np.float32, copy=False)

    def frames(self, frames: np.ndarray, key: Sequence[int]) -> np.ndarray:
        """Mask stored frames (T, D) with SpecAugment if it is enabled: (T, D)."""
        options = self.options.spec_augment
        return frames if options is None else spec_augment(frames, _generator(key, 5), options)

    def _reverb(self, wave: np.ndarray, options: Reverb, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= options.prob:
            return wave
        return reverberate(wave, read_audio(self.responses[rng.integers(len(self.responses))], SAMPLE_RATE))

    def _noise(self, wave: np.ndarray, options: Noise, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= options.prob:
            return wave
        path = self.noises[rng.integers(len(self.noises))]
        snr = rng.uniform(*options.snr)
        samples, rate, _ = audio_info(path)
        slack = samples / rate - len(wave) / SAMPLE_RATE  # seconds by which the noise is longer than the utterance
        start = max(slack, 0) * rng.random()
        # Read only the required part: recordings of noise are often many minutes long.
        return add_noise(
            wave, read_audio(path, SAMPLE_RATE, start, start + len(wave) / SAMPLE_RATE if slack > 0 else None), snr
        )

    def _codec(self, wave: np.ndarray, options: Codecs, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= options.prob:
            return wave
        return transmit(wave, options.names[rng.integers(len(options.names))], rng)


def add_noise(wave: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add noise at a signal-to-noise ratio over all samples.

    Args:
        wave: (N,).
        noise: (M,), at any level. It is repeated or cut to N samples. Digital silence adds nothing.
        snr: dB.

    Returns:
        (N,), not normalised.
    """
    noise = np.resize(noise, len(wave))
    level = rms(noise)
    return wave if level == 0 else wave + noise * (rms(wave) / level * 10 ** (-snr / 20))


def reverberate(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve a wave with a room impulse response; length, RMS and alignment do not change.

    Args:
        wave: (N,).
        response: (M,). Its largest sample is the direct path. For digital silence the wave is returned unchanged.

    Returns:
        (N,).
    """
    direct = int(np.argmax(np.abs(response)))
    reverberant = oaconvolve(wave, response)[direct : direct + len(wave)]
    level = rms(reverberant)
    return wave if level == 0 else reverberant * (rms(wave) / level)


def spec_augment(frames: np.ndarray, rng: np.random.Generator, options: SpecAugment) -> np.ndarray:
    """Mask time spans and bands of dimensions (Park et al., Interspeech 2019), without time warping.

    Args:
        frames: (T, D). Masked values become the mean of their dimension over the utterance.
        rng: Source of the draws.
        options: Number and maximum size of the masks.

    Returns:
        A masked copy (T, D).
    """
    length, dim = frames.shape
    mean = frames.mean(axis=0)  # (D,)
    masked = frames.copy()
    longest = min(options.max_frames, int(options.max_share * length))
    for _ in range(options.time_masks):
        start, end = _draw_span(rng, longest, length)
        masked[start:end] = mean
    for _ in range(options.dim_masks):
        start, end = _draw_span(rng, min(options.max_dims, dim), dim)
        masked[:, start:end] = mean[start:end]
    return masked


def _files(scp: str) -> list[str]:
    paths = list(read_table(scp).values())
    if not paths:
        raise InputError(f"{scp}: is empty; list audio files as 'name path', sorted by name")
    return paths


def _draw_span(rng: np.random.Generator, longest: int, length: int) -> tuple[int, int]:
    size = int(rng.integers(longest + 1))
    start = int(rng.integers(length - size + 1))
    return start, start + size


def _generator(key: Sequence[int], step: int) -> np.random.Generator:
    # Steps count from 1, because NumPy ignores zeros at the end of a key.
    return np.random.default_rng([*key, step])
