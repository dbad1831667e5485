"""Audio files to mono float32, with every defect of a file turned into one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from spooftrace.audio.decoding import Recording, opened
from spooftrace.audio.levels import Levels
from spooftrace.audio.sources import FETCH
from spooftrace.common.english import counted, duration
from spooftrace.common.errors import InputError, display
from spooftrace.common.sample_rate import SAMPLE_RATE

# Kaldi's extract-segments allows this much (seconds) for times that were rounded or taken from another release.
MAX_OVERSHOOT = 0.5
# Seconds that a model is given at once: an hour of audio takes about 5 GB in most of them.
LONGEST = 1800.0
# Seconds behind the last sample wanted that are decoded, too, so that the resampling filter sees all it needs.
FILTER_MARGIN = 0.5


class AudioInfo(NamedTuple):
    """What an audio file has: samples per channel, rate in Hz, channels."""

    samples: int
    rate: int
    channels: int


def read_audio(
    path: str | Path,
    rate: int = SAMPLE_RATE,
    start: float | None = None,
    end: float | None = None,
    allow_pipes: bool = False,
    most: int | None = None,
    longest: float | None = None,
) -> np.ndarray:
    """Read an audio file (wav, flac, ogg, mp3 ...; with PyAV m4a, aac, webm ...) as one channel at the given rate.

    Channels are averaged; another rate is converted with soxr (HQ). What the file holds counts, not what its header
    says about the length. Silence is not an error, but like other odd levels it is noted (``spooftrace.audio.notes``).

    Args:
        path: The file, or with ``allow_pipes`` also a ``command |`` that prints one.
        rate: Sampling rate of the result in Hz.
        start: Where to begin, in seconds; ``None``: at the beginning.
        end: Where to stop, in seconds; up to 0.5 s beyond the end of the file are forgiven; ``None``: at the end.
        allow_pipes: Run ``command |`` with bash, as Kaldi does, instead of refusing it.
        most: The result has at most so many samples, and what lies behind them is not decoded.
        longest: Refuse more than so many seconds before they fill the memory.

    Returns:
        float32 (N,), N > 0, full scale = 1.

    Raises:
        InputError: The file is missing, empty, not audio, damaged, cut short, has no samples (at this rate) or NaN or
            infinite ones, an impossible rate, is longer than ``longest``, or ``start`` and ``end`` do not lie in it.
    """
    samples, own_rate = read_samples(path, start, end, allow_pipes, None if most is None else most / rate, longest)
    return convert(samples, own_rate, rate, path)[:most]


def read_samples(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    allow_pipes: bool = False,
    most_seconds: float | None = None,
    longest: float | None = None,
) -> tuple[np.ndarray, int]:
    """The samples of an audio file as it has them: float32 (N, C), and its rate in Hz.

    Arguments and errors are those of ``read_audio``; ``most_seconds`` stops the decoder soon after that time.
    """
    with opened(path, allow_pipes) as recording:
        first, last = _span(path, recording, start, end)
        if most_seconds is not None:
            limit = first + round((most_seconds + FILTER_MARGIN) * recording.rate)
            if recording.frames is None:  # what lies behind is not looked at
                return _read_up_to(path, recording, first, limit, last), recording.rate
            last = min(limit, recording.frames if last is None else last)
        end_known = recording.frames if last is None else last
        _check_length(path, recording, longest, None if end_known is None else end_known - first)
        levels = Levels(recording.channels, recording.lossy)
        blocks: list[np.ndarray] = []
        count = 0
        for block in recording.blocks(first, last):
            _check(path, levels.add(block))
            blocks.append(block)
            count += len(block)
            _check_length(path, recording, longest, count)
        if not blocks:
            raise InputError(f"{display(path)}: has no samples; {FETCH} or leave it out")
        levels.report(path)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), recording.rate


def convert(samples: np.ndarray, own_rate: int, rate: int, path: str | Path) -> np.ndarray:
    """Samples (N, C) at a file's own rate as one channel at another rate: float32 (M,).

    Raises:
        InputError: There are so few that none is left; the message names ``path``.
    """
    wave = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]  # (N, C) -> (N,)
    if own_rate == rate:
        return wave
    import soxr  # only here: most corpora already have the right rate

    converted = soxr.resample(wave, own_rate, rate, quality="HQ")
    if not len(converted):
        count = counted(len(wave), "sample")
        raise InputError(
            f"{display(path)}: has {count} at {own_rate:,} Hz, which are no samples at {rate:,} Hz; leave it out"
        )
    return converted


def audio_info(path: str | Path) -> AudioInfo:
    """``(samples per channel, rate in Hz, channels)``, without decoding where the file says how long it is.

    Raises:
        InputError: As for ``read_audio``, as far as the header and the end of the file show it.
    """
    with opened(path) as recording:
        return AudioInfo(_count(recording), recording.rate, recording.channels)


def check_audio(path: str | Path) -> AudioInfo:
    """Decode a whole file in little memory, and note odd levels; returns what ``audio_info`` does.

    Raises:
        InputError: As for ``read_audio``.
    """
    with opened(path) as recording:
        levels = Levels(recording.channels, recording.lossy)
        samples = 0
        for block in recording.blocks():
            _check(path, levels.add(block))
            samples += len(block)
        if not samples:
            raise InputError(f"{display(path)}: has no samples; {FETCH} or leave it out")
        levels.report(path)
        return AudioInfo(samples, recording.rate, recording.channels)


def audio_kind(path: str | Path) -> str:
    """Container and coding of a file, such as ``FLAC/PCM_16``.

    Raises:
        InputError: As for ``audio_info``.
    """
    with opened(path) as recording:
        return recording.kind


def _count(recording: Recording) -> int:
    return recording.frames if recording.frames is not None else sum(map(len, recording.blocks()))


def _check(path: str | Path, finite: bool) -> None:
    if not finite:
        raise InputError(f"{display(path)}: has NaN or infinite samples; {FETCH} or leave it out")


def _check_length(path: str | Path, recording: Recording, longest: float | None, count: int | None) -> None:
    if longest is not None and count is not None and count > longest * recording.rate:
        raise InputError(
            f"{display(path)}: {duration(count / recording.rate)} are too long to be in memory at once (at most "
            f"{duration(longest)}); cut it into pieces, or score its beginning with a system of live streams and "
            "--data.eval_crop first"
        )


def _read_up_to(path: str | Path, recording: Recording, first: int, limit: int, last: int | None) -> np.ndarray:
    """Samples from ``first`` to before ``limit``, fewer where the recording of unknown length ends."""
    stop = limit if last is None else min(limit, last)
    levels = Levels(recording.channels, recording.lossy)
    blocks: list[np.ndarray] = []
    place = first
    for block in recording.blocks(first):
        _check(path, levels.add(block))
        blocks.append(block[: stop - place])
        place += len(block)
        if place >= stop:
            break
    levels.report(path)
    return np.concatenate(blocks)


def _span(path: str | Path, recording: Recording, start: float | None, end: float | None) -> tuple[int, int | None]:
    """First and one past the last sample to read, at the file's own rate; None: to the end."""
    if start is None and end is None:
        return 0, None
    frames = _count(recording)
    first = 0 if start is None else round(start * recording.rate)
    last = frames if end is None else round(end * recording.rate)
    overshoot = (last - frames) / recording.rate
    if not 0 <= first < min(last, frames) or overshoot > MAX_OVERSHOOT:
        seconds = frames / recording.rate
        wanted = f"cannot read from {start} to {end}; correct the segment"
        raise InputError(f"{display(path)}: has {seconds:.3f} s, {wanted}")
    return first, min(last, frames)
