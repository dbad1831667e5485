"""Training data of the codecs: random crops of a data directory that depend on (seed, step) only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spooftrace.audio import read_audio
from spooftrace.audio.writing import to_int16
from spooftrace.codecs.codec import NeuralCodec
from spooftrace.common.errors import InputError
from spooftrace.common.progress import Progress
from spooftrace.datadir import DataDir

if TYPE_CHECKING:
    from spooftrace.codecs.settings import CodecTraining

QUIET = 0.012  # RMS, a quarter of the usual level; quieter crops are pauses


class Batch(NamedTuple):
    """The data of a training step.

    Attributes:
        wave: (B, N) crops.
        num_quantizers: (B,), number of codebooks that each crop uses.
        places: Utterance and first frame of each crop.
    """

    wave: Tensor
    num_quantizers: Tensor
    places: list[tuple[int, int]]


class CropSampler:
    """Random crops of a data directory, which is kept in memory as 16-bit samples (115 MB per hour at 16 kHz).

    Args:
        data: Data directory. Utterances are drawn in proportion to their length.
        codec: Codec with the rate, hop and level of the crops.
        settings: Settings with the seed, batch size and crop length.

    Raises:
        InputError: All utterances are silent, or an audio file cannot be read.
    """

    def __init__(self, data: DataDir, codec: NeuralCodec, settings: CodecTraining) -> None:
        self.settings, self.hop, self.level = settings, codec.hop, codec.level
        self.length = round(settings.crop_seconds * codec.frame_rate) * codec.hop
        self.waves: list[np.ndarray] = []
        self.gains: list[float] = []
        with Progress("reading audio", len(data.utts)) as progress:
            for utt in data.utts:
                path, start, end = data.audio(utt)
                wave = read_audio(path, codec.sample_rate, start, end)
                loudness = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))
                if loudness > 1e-4:
                    self.waves.append(to_int16(wave, 32767))
                    self.gains.append(codec.level / loudness / 32767)
                progress.advance()
        if not self.waves:
            raise InputError(f"{data.path}: all utterances are silent; nothing to train on")
        lengths = np.array([len(wave) for wave in self.waves], np.float64)
        self.seconds = float(lengths.sum()) / codec.sample_rate
        self.cumulative = np.cumsum(lengths / lengths.sum())

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; equal steps have equal batches."""
        draws = np.random.default_rng([self.settings.seed, step])
        crops: list[np.ndarray] = []
        places: list[tuple[int, int]] = []
        while len(crops) < self.settings.batch_size:
            index = min(int(np.searchsorted(self.cumulative, draws.random())), len(self.waves) - 1)
            wave = self.waves[index]
            # Crops start at whole hops: a frame then always consists of the same samples.
            frame = int(draws.integers(max(len(wave) - self.length, 0) // self.hop + 1))
            crop = wave[frame * self.hop :][: self.length].astype(np.float32) * np.float32(self.gains[index])
            crop = np.pad(crop, (0, self.length - len(crop)))
            loudness = float(crop.std())
            if loudness < QUIET and len(self.waves) > 1:
                continue
            # Scale half-way to the common level, with 4 dB of variation: the codec must not depend on an exact level.
            gain = self.level / (0.5 * loudness + 0.5 * self.level) * 10 ** (draws.uniform(-4, 4) / 20)
            crops.append(crop * np.float32(gain))
            places.append((index, frame))
        counts = draws.choice(self.settings.quantizers, self.settings.batch_size)
        counts[: self.settings.batch_size // 4] = max(self.settings.quantizers)
        return Batch(torch.from_numpy(np.stack(crops)), torch.from_numpy(counts), places)
