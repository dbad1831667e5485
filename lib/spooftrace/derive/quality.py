"""Measures of the quality of a codec's copies and of the effect of its auxiliary objective, for the codec table."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch

from spooftrace.codecs.mel import mel_filterbank
from spooftrace.common.errors import InputError
from spooftrace.common.sample_rate import SAMPLE_RATE

N_FFT, HOP, BANDS = 1024, 256, 80
RANGE = 45.0  # dB below the loudest frame; quieter frames are pauses
FLOOR = 1e-5


def mel_distance(copy: np.ndarray, original: np.ndarray, top: float = SAMPLE_RATE / 2) -> float:
    """Return the mean absolute difference in dB of two 80-band mel spectra at equal level, over frames with speech.

    Args:
        copy: (N,) at 16 kHz.
        original: (N,) at 16 kHz, aligned with the copy.
        top: Upper limit of the bands in Hz, for codecs at 8 kHz.

    Raises:
        ValueError: The lengths differ, or a wave is silent.
    """
    if copy.shape != original.shape:
        raise ValueError(f"a copy of {copy.shape} samples and an original of {original.shape}")
    spectra = [_mel_spectrum(wave) for wave in (copy, original)]  # (F, T) each
    loudness = 20 * spectra[1].mean(0).log10()  # (T,)
    active = loudness > loudness.max() - RANGE
    bank = mel_filterbank(BANDS, N_FFT, SAMPLE_RATE)
    bins = torch.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT  # Hz
    inside = ((bank > 0) * bins).amax(1) <= top
    levels = [20 * (bank[inside] @ spectrum[:, active] + FLOOR).log10() for spectrum in spectra]
    return float((levels[0] - levels[1]).abs().mean())


def _mel_spectrum(wave: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(np.asarray(wave, np.float32))
    loudness = x.square().mean().sqrt()
    if not loudness > 0:
        raise ValueError("silence has no mel distance")
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(x / loudness, N_FFT, HOP, window=window, return_complex=True).abs()  # (F, T)
    return spectrum / window.square().sum().sqrt() + FLOOR


def character_error_rate(reference: str, hypothesis: str) -> float:
    """Return the character edit distance divided by the length of the reference, at most 1, without case, punctuation.

    >>> character_error_rate("Press one.", "press won")
    0.2222222222222222
    """
    expected, actual = (re.sub(r"[^\w ]", "", text.lower()).strip() for text in (reference, hypothesis))
    row = list(range(len(actual) + 1))
    for i, expected_character in enumerate(expected, 1):
        diagonal, row[0] = row[0], i
        for j, character in enumerate(actual, 1):
            substitution = diagonal + (expected_character != character)
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, substitution)
    return min(1.0, row[-1] / max(1, len(expected)))


class Transcriber:
    """Greedy Whisper-base transcription of batches of short recordings.

    Args:
        seconds: Length of Whisper's window, originally 30 s. A shorter window is faster; recordings must fit into it.

    Raises:
        InputError: The weights of the model are missing.
    """

    def __init__(self, seconds: int = 10) -> None:
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        from spooftrace.pretrained.finding import find_folder

        folder = find_folder("openai/whisper-base")
        if folder is None:
            raise InputError("no Whisper-base weights; run tools/get_model.sh whisper-base")
        self.seconds = seconds
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = WhisperProcessor.from_pretrained(folder)
        positions = 50 * seconds  # encoder frames
        encoder = self.model.model.encoder
        encoder.embed_positions = torch.nn.Embedding.from_pretrained(encoder.embed_positions.weight[:positions])
        self.model.config.max_source_positions = encoder.config.max_source_positions = positions
        encoder.max_source_positions = positions

    def __call__(self, waves: Sequence[np.ndarray], language: str) -> list[str]:
        """Transcribe float32 waves (N,) at 16 kHz, in a language such as ``en``.

        Raises:
            ValueError: A wave is longer than the window.
        """
        if max(map(len, waves)) > self.seconds * SAMPLE_RATE:
            raise ValueError(f"a recording is longer than the window of {self.seconds} s")
        inputs = self.processor.feature_extractor(
            [np.asarray(wave, np.float32) for wave in waves],
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            padding="max_length",
            max_length=self.seconds * SAMPLE_RATE,
        )
        tokens = self.model.generate(
            inputs.input_features, language=language, task="transcribe", num_beams=1, max_new_tokens=100
        )
        return self.processor.batch_decode(tokens, skip_special_tokens=True)


def mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """Estimate the mutual information in bits of two sequences of small integers (N,), with Miller-Madow correction.

    Counts of many classes are informative by chance; the correction subtracts the expected value of this bias.

    >>> x = np.arange(1000) % 4
    >>> round(mutual_information(x, x), 2)
    2.0
    """
    return _entropy(a) + _entropy(b) - _entropy(np.stack([a, b]))


def _entropy(values: np.ndarray) -> float:
    counts = np.unique(values, axis=-1, return_counts=True)[1]
    probabilities = counts / counts.sum()
    return float(-(probabilities * np.log2(probabilities)).sum() + (len(counts) - 1) / (2 * counts.sum() * np.log(2)))
