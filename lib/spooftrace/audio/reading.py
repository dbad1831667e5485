"""Reading of audio files as mono float32; every defect of a file is reported in one line."""

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

# Seconds by which a segment may exceed the file, as in Kaldi's extract-segments: times may be rounded.
MAX_OVERSHOOT = 0.5
# Maximum seconds for a model: most models need about 5 GB for an hour of audio.
LONGEST = 1800.0
# Seconds to decode behind the last wanted sample, as context of the resampling filter.
FILTER_MARGIN = 0.5


class AudioInfo(NamedTuple):
    """Samples per channel, rate in Hz and number of channels of an audio file."""

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

    Channels are averaged and other rates are converted with soxr (HQ). A wrong length in the header is ignored. Silence
    and other odd levels are no errors; they are noted (``spooftrace.audio.notes``).

    Args:
        path: The file, or with ``allow_pipes`` also a ``command |`` that prints one.
        rate: Sampling rate of the result in Hz.
        start: Start in seconds; None for the beginning of the file.
        end: End in seconds, at most 0.5 s behind the end of the file; None for the end of the file.
        allow_pipes: Run ``command |`` with bash, as Kaldi does, instead of refusing it.
        most: Maximum number of samples of the result. The rest of the file is not decoded.
        longest: Maximum seconds. Longer files are refused before they fill the memory.

    Returns:
        float32 (N,), N > 0, full scale = 1.

    Raises:
        InputError: The file is missing, empty, not audio, damaged, cut short, has no samples (at this rate) or NaN or
            infinite ones, has an impossible rate, is longer than ``longest``, or does not contain the segment.
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
    """Read the samples of all channels at the file's own rate.

    Args:
        path: As for ``read_audio``.
        start: As for ``read_audio``.
        end: As for ``read_audio``.
        allow_pipes: As for ``read_audio``.
        most_seconds: Decode little more than this number of seconds.
        longest: As for ``read_audio``.

    Returns:
        float32 (N, C), and the rate in Hz.

    Raises:
        InputError: As for ``read_audio``.
    """
    with opened(path, allow_pipes) as recording:
        first, last = _span(path, recording, start, end)
        if most_seconds is not None:
            limit = first + round((most_seconds + FILTER_MARGIN) * recording.rate)
            if recording.frames is None:  # stop at the limit, whatever follows
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
    """Average the channels of samples (N, C) and convert their rate: float32 (M,).

    Args:
        samples: float32 (N, C).
        own_rate: Rate of the samples in Hz.
        rate: Rate of the result in Hz.
        path: The file, for messages.

    Raises:
        InputError: The result has no samples, because there are too few.
    """
    wave = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]  # (N, C) -> (N,)
    if own_rate == rate:
        return wave
    import soxr  # imported here because most corpora do not need it

    converted = soxr.resample(wave, own_rate, rate, quality="HQ")
    if not len(converted):
        count = counted(len(wave), "sample")
        raise InputError(
            f"{display(path)}: has {count} at {own_rate:,} Hz, which are no samples at {rate:,} Hz; leave it out"
        )
    return converted


def audio_info(path: str | Path) -> AudioInfo:
    """Return length, rate and channels of a file, without decoding it if its header has the length.

    Raises:
        InputError: As for ``read_audio``, for defects that the header and the end of the file show.
    """
    with opened(path) as recording:
        return AudioInfo(_count(recording), recording.rate, recording.channels)


def check_audio(path: str | Path) -> AudioInfo:
    """Decode a whole file in constant memory and note odd levels; returns the same as ``audio_info``.

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
    """Return container and coding of a file, such as ``FLAC/PCM_16``.

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
    """Read samples from ``first`` to before ``limit``; fewer if the recording, of unknown length, ends before."""
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
    """Return (first, last + 1) of the samples to read, at the file's own rate; None for the end of the file."""
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
