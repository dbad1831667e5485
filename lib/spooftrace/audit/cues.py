"""The nuisance cues: measurements of a recording that say nothing about how it was generated.

Each is known to have given a class away in some corpus: silence (ASVspoof 2019 LA; CodecFake+, made of untrimmed VCTK,
where source tracing loses about 27 % of its F1 without the silence: Chen et al., SASTNet, table II), the peaks of a
synthesizer that alone ran into a limiter (espeak-ng), bona fide speech of a narrower band, the gap that a resampler
leaves below half the sampling rate and a vocoder fills, pulses that all point one way (WORLD), files written by two
programs. ``Cue.remedy`` says how to make the classes alike.

Everything is measured on what a detector is given: one channel at 16 kHz. Only ``bits per sample``, ``sample rate``,
``channels`` and the format belong to the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spooftrace.audio.postprocessing import ACTIVE_RANGE, SILENCE_RANGE, active_level, frame_power
from spooftrace.audio.reading import audio_info, audio_kind, read_audio
from spooftrace.common.sample_rate import SAMPLE_RATE

FRAME, SHIFT = 512, 256  # samples; spectra
BLOCK = SAMPLE_RATE // 100  # samples; silence
FLOOR = -120.0  # dB, of anything that is zero
ONE_BIT = -90.0  # dB, of the least significant one of 16: a mean below it is none
PRESENT = 60.0  # dB below the strongest frequency that still count as sound for the bandwidth
EDGES = (0, 80, 1000, 2000, 4000, 7000, 7800, 8000)  # Hz; the last bit is where resamplers cut off


@dataclass(frozen=True)
class Cue:
    """A measurement: its name, unit, and what to do to a corpus in which it tells the classes apart.

    ``digits`` after the point are kept. What differs by less is alike: a program that sets the level leaves traces in
    its millionths, which no model sees.
    """

    name: str
    unit: str
    digits: int
    remedy: str


_LENGTH = "cut both classes to the same lengths, or pair each utterance with a copy of its own length"
_SILENCE = "take the silence out of both classes ('spooftrace trim'; --remove ends keeps the pauses)"
_LEVEL = "bring both classes to one speech level, low enough that nothing needs a limiter"
_LOW = "high-pass both classes alike, at 60 Hz for example"
_BAND = "give both classes the same history of codecs and sampling rates, or low-pass both to the narrower band"
_SHAPE = "turn the sign of the wave at random in training; a vocoder's own asymmetry cannot be taken out"
FILE_REMEDY = "write both classes with the same program in the same format; show the difference to no model"

CUES = (
    Cue("duration", "s", 3, _LENGTH),
    Cue("level", "dB", 0, _LEVEL),
    Cue("peak", "dB", 1, _LEVEL),
    Cue("crest factor", "dB", 1, _LEVEL),
    Cue("DC", "dB", 1, _LOW),
    Cue("leading silence", "s", 3, _SILENCE),
    Cue("trailing silence", "s", 3, _SILENCE),
    Cue("silence share", "", 3, _SILENCE),
    Cue("noise floor", "dB", 1, "give both classes the same background: the same trimming, and noise or dither last"),
    Cue("below 80 Hz", "dB", 1, _LOW),
    Cue("80 Hz to 1 kHz", "dB", 1, _BAND),
    Cue("1 to 2 kHz", "dB", 1, _BAND),
    Cue("2 to 4 kHz", "dB", 1, _BAND),
    Cue("4 to 7 kHz", "dB", 1, _BAND),
    Cue("7 to 7.8 kHz", "dB", 1, _BAND),
    Cue("7.8 to 8 kHz", "dB", 1, _BAND),
    Cue("bandwidth", "Hz", 0, _BAND),
    Cue("asymmetry", "", 3, _SHAPE),
    Cue("polarity", "dB", 1, _SHAPE),
    Cue("bits per sample", "bit", 2, FILE_REMEDY),
    Cue("sample rate", "Hz", 0, FILE_REMEDY),
    Cue("channels", "", 0, FILE_REMEDY),
)
FORMAT = "format"  # "FLAC/PCM_16", no number: each that occurs becomes a cue, 1 for the files that have it


def measure(path: str, start: float | None = None, end: float | None = None) -> tuple[list[float], str]:
    """The numbers of ``CUES`` for one utterance, in their order, and the format of its file.

    Raises:
        InputError: the audio cannot be used; see ``read_audio``.
    """
    wave = read_audio(path, SAMPLE_RATE, start, end)
    samples, own_rate, channels = audio_info(path)
    bits = 8 * Path(path).stat().st_size / (samples * channels)
    of_file = [bits, own_rate, channels]
    numbers = zip(CUES, [*of_wave(wave), *of_file], strict=True)
    return [round(float(number), cue.digits) for cue, number in numbers], audio_kind(path)


def of_wave(wave: np.ndarray) -> list[float]:
    """The cues up to ``polarity``. A silent wave has the floor of each.

    Args:
        wave: (N,), N > 0, 16 kHz, full scale = 1.
    """
    wave = np.asarray(wave, np.float32)
    mean = float(wave.mean(dtype=np.float64))
    wave = wave - np.float32(mean)  # a constant is the cue DC, and none of the others
    level = max(active_level(wave, SAMPLE_RATE), FLOOR)
    highest, lowest = _decibels(float(wave.max()) ** 2), _decibels(float(wave.min()) ** 2)
    cubes = wave**3
    both = float(np.abs(cubes).sum())
    return [
        len(wave) / SAMPLE_RATE,
        level,
        max(highest, lowest),
        max(highest, lowest) - level,
        max(_decibels(mean**2), ONE_BIT),
        *_silence(wave, level),
        *_spectrum(wave),
        float(cubes.sum()) / both if both else 0.0,  # from -1 to 1; unlike skewness, the same whatever silence there is
        highest - lowest,
    ]


def _silence(wave: np.ndarray, level: float) -> tuple[float, float, float, float]:
    """Seconds before the first and after the last sound, share of silence, noise floor against the level in dB."""
    power = frame_power(wave, min(BLOCK, len(wave)))  # (N,) -> (N // BLOCK,)
    loud = np.flatnonzero(power > power.max() * 10 ** (-SILENCE_RANGE / 10))
    if not loud.size:
        return len(wave) / SAMPLE_RATE, len(wave) / SAMPLE_RATE, 1.0, 0.0
    trailing = max(len(wave) - (loud[-1] + 1) * BLOCK, 0)
    floor = _decibels(float(np.percentile(power, 5))) - level
    return loud[0] * BLOCK / SAMPLE_RATE, trailing / SAMPLE_RATE, 1 - loud.size / power.size, floor


def _spectrum(wave: np.ndarray) -> list[float]:
    """Power of each band against that of all, in dB, and the highest frequency with sound, in the parts with speech."""
    padded = np.pad(wave, (0, max(FRAME - len(wave), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::SHIFT]  # (N,) -> (T, 512)
    spectra = np.fft.rfft(frames * _WINDOW)  # (T, 512) -> (T, 257), complex64
    power = spectra.real**2 + spectra.imag**2
    energy = power.sum(axis=1)  # (T,)
    mean = power[energy >= energy.max() * 10 ** (-ACTIVE_RANGE / 10)].mean(axis=0, dtype=np.float64)  # (257,)
    if not mean.any():
        return [FLOOR] * (len(EDGES) - 1) + [0.0]
    bands = np.add.reduceat(mean, _FIRST_BINS) / mean.sum()  # (257,) -> (7,)
    highest = np.flatnonzero(mean > mean.max() * 10 ** (-PRESENT / 10))[-1]
    return [*map(_decibels, bands.tolist()), highest * SAMPLE_RATE / FRAME]


def _decibels(power: float) -> float:
    return max(10 * float(np.log10(power)), FLOOR) if power > 0 else FLOOR


_WINDOW = np.hanning(FRAME).astype(np.float32)
_FIRST_BINS = [-(-edge * FRAME // SAMPLE_RATE) for edge in EDGES[:-1]]
