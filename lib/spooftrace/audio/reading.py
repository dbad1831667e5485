"""Audio files to mono float32, with every defect of a file turned into one clear line."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spooftrace.errors import InputError

if TYPE_CHECKING:
    import soundfile

# Kaldi's extract-segments allows this much (seconds) for times that were rounded or taken from another release.
MAX_OVERSHOOT = 0.5
# Programs that write to a pipe do not know the length and declare about the largest number that fits.
STREAMED = 0x7FFFF000
OGG_PAGE = 65307  # bytes at most
FETCH = "get the file again"


def read_audio(
    path: str | Path,
    rate: int = 16000,
    start: float | None = None,
    end: float | None = None,
    allow_pipes: bool = False,
) -> np.ndarray:
    """Read an audio file (wav, flac, ogg, mp3 ...) as one channel at the given rate.

    Channels are averaged; another rate is converted with soxr (HQ). Silence is not an error.

    Args:
        path: the file, or with ``allow_pipes`` also a ``command |`` that prints one.
        rate: sampling rate of the result in Hz.
        start: where to begin, in seconds; ``None``: at the beginning.
        end: where to stop, in seconds; up to 0.5 s beyond the end of the file are forgiven; ``None``: at the end.
        allow_pipes: run ``command |`` with bash, as Kaldi does, instead of refusing it.

    Returns:
        float32 (N,), full scale = 1.

    Raises:
        InputError: the file is missing, empty, not audio, damaged, shorter than its header says, has no samples or
            NaN or infinite ones, or ``start`` and ``end`` do not lie in it.
    """
    with _opened(path, allow_pipes) as file:
        first, last = _span(path, file, start, end)
        file.seek(first)
        samples = file.read(last - first, dtype="float32", always_2d=True)  # (N, C)
        if len(samples) < last - first:
            raise InputError(f"{path}: ends after {first + len(samples)} of {file.frames} samples; {FETCH}")
        wave = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]  # (N, C) -> (N,)
        if not np.isfinite(wave).all():
            raise InputError(f"{path}: has NaN or infinite samples; {FETCH} or leave it out")
        if file.samplerate == rate:
            return wave
        import soxr  # only here: most corpora already have the right rate

        return soxr.resample(wave, file.samplerate, rate, quality="HQ")


def audio_info(path: str | Path) -> tuple[int, int, int]:
    """``(samples per channel, rate in Hz, channels)`` from the header, without decoding.

    Raises:
        InputError: as for ``read_audio``, as far as the header and the file's size show it.
    """
    with _opened(path, False) as file:
        return file.frames, file.samplerate, file.channels


@contextmanager
def _opened(path: str | Path, allow_pipes: bool) -> Iterator[soundfile.SoundFile]:
    import soundfile

    source: str | io.BytesIO = str(path)
    if source.rstrip().endswith("|"):
        if not allow_pipes:
            raise InputError(f"'{path}' would run a command; write the audio to files or allow pipes")
        source = _command_output(source.rstrip()[:-1])
    elif not Path(source).is_file():
        raise InputError(
            f"{path}: {'not a file' if Path(source).exists() else 'no such file'}; check the path or {FETCH}"
        )
    elif Path(source).stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; {FETCH}")
    try:
        with soundfile.SoundFile(source) as file:
            if file.frames >= 1 << 48:
                raise InputError(f"{path}: the header does not say how long the audio is; write the file again")
            if _is_cut_short(file.extra_info) or (file.format == "OGG" and not _ogg_is_whole(_tail(source))):
                raise InputError(f"{path}: the file is cut short, its header announces more; {FETCH}")
            if file.frames == 0:
                raise InputError(f"{path}: has no samples; {FETCH} or leave it out")
            yield file
    except soundfile.SoundFileError as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise InputError(f"{path}: damaged, cut short or not audio ({reason}); {FETCH}") from None


def _span(path: str | Path, file: soundfile.SoundFile, start: float | None, end: float | None) -> tuple[int, int]:
    """First and one past the last sample to read, at the file's own rate."""
    first = 0 if start is None else round(start * file.samplerate)
    last = file.frames if end is None else round(end * file.samplerate)
    overshoot = (last - file.frames) / file.samplerate
    if not 0 <= first < min(last, file.frames) or overshoot > MAX_OVERSHOOT:
        seconds = file.frames / file.samplerate
        raise InputError(f"{path}: has {seconds:.3f} s, cannot read from {start} to {end}; correct the segment")
    return first, min(last, file.frames)


def _is_cut_short(log: str) -> bool:
    """Does libsndfile's log of opening a file say that its header announces more than there is?

    For wav and aiff libsndfile otherwise just plays what is left; flac and mp3 show it while decoding.
    """
    sizes = re.search(r"^ ?(?:data|SSND) *: *(\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if sizes and int(sizes[2]) < int(sizes[1]) < STREAMED:
        return True
    return "does not match value from 'ds64' chunk" in log


def _ogg_is_whole(tail: bytes) -> bool:
    """Is the last page of an ogg file (RFC 3533, section 6) complete and marked as the end of the stream?"""
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:  # page[26]: number of entries in the table of segment sizes
        return False
    size = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return bool(page[5] & 4) and len(page) >= size


def _tail(source: str | io.BytesIO) -> bytes:
    """The end of the file, as much as an ogg page can have."""
    if isinstance(source, io.BytesIO):
        return source.getvalue()[-OGG_PAGE:]
    with open(source, "rb") as file:
        file.seek(max(Path(source).stat().st_size - OGG_PAGE, 0))
        return file.read()


def _command_output(command: str) -> io.BytesIO:
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False)
    if result.returncode or not result.stdout:
        words = result.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise InputError(f"'{command.strip()} |' failed with status {result.returncode}: {words[-1]}; correct the scp")
    return io.BytesIO(result.stdout)
