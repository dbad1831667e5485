"""Augmentation of training utterances as the configuration asks for it.

Every step is a function of its input and a random generator and nothing else, and ``Augmentation`` seeds one generator
for each step of each utterance in each epoch. So neither the loader processes, nor resuming, nor another step that is
turned on or off changes what is drawn.
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
    """The steps that a configuration turns on, in the order in which speech travels: room, noise, channel, codec.

    Args:
        options: Which steps, and their settings; the section ``data`` of a configuration has them.

    Raises:
        InputError: An scp file is missing, malformed or empty.
    """

    def __init__(self, options: AugmentOptions) -> None:
        self.options = options
        self.responses = _files(options.reverb.scp) if options.reverb else []
        self.noises = _files(options.noise.scp) if options.noise else []

    def wave(self, wave: np.ndarray, key: Sequence[int]) -> np.ndarray:
        """A whole utterance (N,), augmented: float32 (N,).

        Args:
            wave: Samples at 16 kHz.
            key: Integers that decide every draw, e.g. (seed, epoch, utterance).

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
        """Stored frames (T, D), masked by SpecAugment if that is on: (T, D)."""
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
        room = samples / rate - len(wave) / SAMPLE_RATE  # seconds that the recording is longer than the utterance
        start = max(room, 0) * rng.random()
        # Only what is needed is read: recordings of noise are often many minutes long.
        return add_noise(
            wave, read_audio(path, SAMPLE_RATE, start, start + len(wave) / SAMPLE_RATE if room > 0 else None), snr
        )

    def _codec(self, wave: np.ndarray, options: Codecs, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= options.prob:
            return wave
        return transmit(wave, options.names[rng.integers(len(options.names))], rng)


def add_noise(wave: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add noise, repeated or cut to the length of the wave, at a signal-to-noise ratio over all samples.

    Args:
        wave: (N,).
        noise: (M,), any level; nothing is added if it is digital silence.
        snr: dB.

    Returns:
        (N,), not normalised.
    """
    noise = np.resize(noise, len(wave))
    level = rms(noise)
    return wave if level == 0 else wave + noise * (rms(wave) / level * 10 ** (-snr / 20))


def reverberate(wave: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The wave in a room: convolved with the room's impulse response, as long, as loud and aligned as before.

    Args:
        wave: (N,).
        response: (M,); its largest sample is taken for the direct path. Digital silence leaves the wave as it is.

    Returns:
        (N,).
    """
    direct = int(np.argmax(np.abs(response)))
    heard = oaconvolve(wave, response)[direct : direct + len(wave)]
    level = rms(heard)
    return wave if level == 0 else heard * (rms(wave) / level)


def spec_augment(frames: np.ndarray, rng: np.random.Generator, options: SpecAugment) -> np.ndarray:
    """Mask stretches of time and bands of dimensions (Park et al., Interspeech 2019), without its time warping.

    Args:
        frames: (T, D). What is masked gets the mean of its dimension over the utterance.
        rng: Source of the draws.
        options: Number and largest size of the masks.

    Returns:
        A masked copy (T, D).
    """
    length, dim = frames.shape
    mean = frames.mean(axis=0)  # (D,)
    masked = frames.copy()
    longest = min(options.max_frames, int(options.max_share * length))
    for _ in range(options.time_masks):
        start, end = _stretch(rng, longest, length)
        masked[start:end] = mean
    for _ in range(options.dim_masks):
        start, end = _stretch(rng, min(options.max_dims, dim), dim)
        masked[:, start:end] = mean[start:end]
    return masked


def _files(scp: str) -> list[str]:
    paths = list(read_table(scp).values())
    if not paths:
        raise InputError(f"{scp}: is empty; list audio files as 'name path', sorted by name")
    return paths


def _stretch(rng: np.random.Generator, longest: int, room: int) -> tuple[int, int]:
    size = int(rng.integers(longest + 1))
    start = int(rng.integers(room - size + 1))
    return start, start + size


def _generator(key: Sequence[int], step: int) -> np.random.Generator:
    # Steps count from 1: to NumPy a key with zeros at its end is the same as the key without.
    return np.random.default_rng([*key, step])
