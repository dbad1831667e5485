"""Decoding of audio files of all formats, block by block at their own rate, even if the header has a wrong length."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from spooftrace.audio.chunks import STREAMED, find_audio
from spooftrace.audio.flac import read_header
from spooftrace.audio.joined import refuse_ambiguous, refuse_behind, refuse_second
from spooftrace.audio.mpeg import Stream, after_id3, find_stream
from spooftrace.audio.notes import note
from spooftrace.audio.ogg import find_links
from spooftrace.audio.sources import FETCH, mapped, original, source
from spooftrace.audio.spliced import Piece, SplicedFile
from spooftrace.common.audio_suffixes import MPEG
from spooftrace.common.errors import InputError, display

if TYPE_CHECKING:
    import soundfile

RATES = (1000, 768000)  # Hz; a header with another rate is damaged
BLOCK = 1 << 20  # samples of all channels that are decoded at a time
UNKNOWN = 1 << 48  # libsndfile reports at least this number of samples if it does not know the length
CHANGES = "its rate or number of channels changes on the way; cut it into several files"


class Recording(Protocol):
    """An open audio file.

    Attributes:
        rate: Hz.
        channels: Number of channels.
        frames: Samples of each channel; None if the number is known only after decoding.
        lossy: The samples come from a lossy decoder.
        kind: Container and coding, such as ``WAV/PCM_16``.
    """

    rate: int
    channels: int
    frames: int | None
    lossy: bool
    kind: str

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[np.ndarray]:
        """Yield float32 blocks (N, C), from sample ``first`` to before ``last``, or to the end.

        Raises:
            InputError: The file is damaged or ends before ``last``.
        """
        ...


@contextmanager
def opened(path: str | Path, allow_pipes: bool = False) -> Iterator[Recording]:
    """Open an audio file.

    Args:
        path: The file, or with ``allow_pipes`` also a ``command |`` that prints one.
        allow_pipes: Run commands instead of refusing them.

    Yields:
        The open file.

    Raises:
        InputError: The file is missing, empty, not audio, cut short, has no samples or an impossible rate, or needs a
            package that is not installed.
    """
    name = display(path)
    with ExitStack() as stack:
        file = stack.enter_context(source(path, name, allow_pipes))
        if (size := file.seek(0, os.SEEK_END)) == 0:
            raise InputError(f"{name}: the file is empty; {FETCH}")
        views = _views(path, name, file, size)
        try:
            recording: Recording = stack.enter_context(_SoundFiles(path, name, file, views))
        except _NotReadError as error:
            from spooftrace.audio.pyav import open_with_pyav

            recording = stack.enter_context(open_with_pyav(file, name, str(error)))
        if not RATES[0] <= recording.rate <= RATES[1]:
            raise InputError(f"{name}: its header says {recording.rate:,} Hz, which no recording has; {FETCH}")
        if recording.frames == 0:
            raise InputError(f"{name}: has no samples; {FETCH} or leave it out")
        yield recording


class _NotReadError(Exception):
    """The file is not readable by libsndfile; the message is its reason."""


class _Views:
    """The input of libsndfile: the unchanged file, or pieces of it for each of several consecutive streams."""

    def __init__(self, pieces: Sequence[Sequence[Piece]] = ()) -> None:
        self.pieces = pieces
        self.declared: int | None = None  # samples by the header, to be compared with the decoded samples
        self.stream: Stream | None = None  # of MPEG audio


def _views(path: str | Path, name: str, file: BinaryIO, size: int) -> _Views:
    """Return a view that corrects a wrong length in the header; refuse a file that is cut short or ambiguous."""
    file.seek(0)
    head = file.read(16)
    if head[:4] == b"OggS":
        links = find_links(file, size)
        if not links.whole:
            raise InputError(f"{name}: the file is cut short within a page; {FETCH}")
        refuse_behind(name, file, links.end, size)
        if not links.ended:
            note(path, "unended")
        return _Views([[part] for part in links.ranges] if len(links.ranges) > 1 else ())
    audio = find_audio(file, size)
    if audio is not None:
        refuse_ambiguous(name, file, audio, size)
        if audio.declared is not None and audio.declared > audio.available:
            announced = f"announces {audio.declared:,} bytes of audio, {audio.available:,} are there"
            raise InputError(f"{name}: the file is cut short, its header {announced}; {FETCH}")
        if audio.declared is not None and audio.available > audio.declared:
            note(path, "understated", f"{audio.declared:,} of {audio.available:,} bytes")
        if audio.mpeg:
            with mapped(file) as data, data[audio.start : audio.start + audio.available] as part:
                if (stream := find_stream(part, tagged=False)) is not None:
                    return _mpeg_views(name, stream, audio.start)
        return _Views([audio.pieces] if audio.pieces else ())
    with mapped(file) as data:
        header = read_header(file, start := after_id3(data), size)
        if header is not None:
            refuse_second(name, file, start + 42, size)
            views = _Views() if header.confirmed else _Views([header.pieces])
            views.declared = None if header.confirmed else header.declared
            return views
        if start or (head[0] == 0xFF and head[1:2] >= b"\xe0") or str(path).lower().endswith(MPEG):
            refuse_second(name, file, max(start + 1, len(head)), size, mpeg=False)
            if (stream := find_stream(data)) is not None:
                return _mpeg_views(name, stream)
            # For such a name libsndfile assumes MPEG audio and prints warnings; give it the content.
            return _Views([[(start, size - start)] if start < size else [(0, size)]])
    refuse_second(name, file, len(head), size)
    return _Views()


def _mpeg_views(name: str, stream: Stream, start: int = 0) -> _Views:
    if stream.missing:
        raise InputError(f"{name}: the file is cut short, {stream.missing}; {FETCH}")
    if stream.changes:
        raise InputError(f"{name}: {CHANGES}")
    # libsndfile estimates the number of samples from the size and stops there: append zeros to make the size large
    # enough. It decodes a frame only if another frame follows: repeat the last frame.
    padding = (None, 2 * stream.frames * stream.largest + (1 << 16))
    frames = ((start + offset, size) for offset, size in (*stream.runs, stream.last))
    views = _Views([[*frames, padding]])
    views.stream = stream
    return views


class _SoundFiles:
    """A file that libsndfile reads, or its consecutive streams."""

    def __init__(self, path: str | Path, name: str, file: BinaryIO, views: _Views) -> None:
        self.path, self.name, self.views = path, name, views
        self._stack = ExitStack()
        spliced = [SplicedFile(file, pieces) for pieces in views.pieces]
        self._sources: Sequence[io.RawIOBase | BinaryIO | bytes] = spliced or [original(path, file)]
        self._open_all()
        first, *others = self._files
        self.rate, self.channels = first.samplerate, first.channels
        self.kind = f"{first.format}/{first.subtype}"
        self.lossy = first.subtype in ("VORBIS", "OPUS") or first.subtype.startswith("MPEG_LAYER")
        if any((other.samplerate, other.channels) != (self.rate, self.channels) for other in others):
            self._stack.close()
            raise InputError(f"{name}: {CHANGES}")
        self.frames: int | None = sum(part.frames for part in self._files)
        if views.stream is not None:
            self.frames = sum(end - begin for begin, end in views.stream.kept)
        elif self.frames >= UNKNOWN or views.declared is not None:
            self.frames = None

    def __enter__(self) -> _SoundFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _open_all(self) -> None:
        self._begun = False
        try:
            self._files = [self._open(source) for source in self._sources]
        except BaseException:
            self._stack.close()
            raise

    def _open(self, source: io.RawIOBase | BinaryIO | bytes) -> soundfile.SoundFile:
        import soundfile

        if not isinstance(source, bytes):
            source.seek(0)
        try:
            file = self._stack.enter_context(_in_order()(source))
        except soundfile.SoundFileError as error:
            raise _NotReadError(_reason(error)) from None
        if _is_cut_short(file.extra_info):
            raise InputError(f"{self.name}: the file is cut short, its header announces more; {FETCH}")
        return file

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[np.ndarray]:
        """As ``Recording.blocks``."""
        import soundfile

        if self._begun:  # open again: not every decoder can seek back
            self._stack.close()
            self._open_all()
        self._begun = True
        end = self.frames if last is None else last
        place = first if first and self._seek(first) else 0
        try:
            for block in self._kept(place, end):
                begin, place = place, place + len(block)
                wanted = block[max(first - begin, 0) : None if end is None else end - begin]
                if len(wanted):
                    yield wanted
                if end is not None and place >= end:
                    return
        except soundfile.SoundFileError as error:
            raise InputError(f"{self.name}: damaged or cut short ({_reason(error)}); {FETCH}") from None
        declared = self.views.declared or 0
        if end is not None or place < declared:
            counts = f"{place:,} of {declared if end is None else end:,} samples"
            raise InputError(f"{self.name}: ends after {counts}, cut short or damaged; {FETCH}")
        if place > declared > 0:
            note(self.path, "understated", f"{declared:,} of {place:,} samples")

    def _seek(self, first: int) -> bool:
        """Seek to a sample; returns False if that is impossible or inexact and everything before must be decoded."""
        import soundfile

        file = self._files[0]
        exact = file.subtype.startswith(("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW"))
        if not exact or len(self._files) > 1 or self.frames is None:
            return False
        try:
            return file.seek(first) == first
        except soundfile.SoundFileError:  # damaged: decoding from the beginning finds the position
            return False

    def _kept(self, place: int, end: int | None) -> Iterator[np.ndarray]:
        """Yield the decoded blocks without the delay and padding of an encoder."""
        stream = self.views.stream
        if stream is None:
            for file in self._files:
                yield from self._decoded(file, None if end is None else end - place)
            return
        place = 0
        for block in self._decoded(self._files[0], stream.frames * stream.samples):
            for begin, stop in stream.kept:
                wanted = block[max(begin - place, 0) : max(stop - place, 0)]
                if len(wanted):
                    yield wanted
            place += len(block)

    def _decoded(self, file: soundfile.SoundFile, most: int | None) -> Iterator[np.ndarray]:
        # Read blocks of limited size: the length in a header may be wrong by any factor.
        size = max(BLOCK // self.channels, 1)
        left = most
        while left is None or left > 0:
            block = file.read(size if left is None else min(size, left), dtype="float32", always_2d=True)  # (N, C)
            if not len(block):
                return
            yield block
            left = None if left is None else left - len(block)


@cache
def _in_order() -> type[soundfile.SoundFile]:
    """Return a ``SoundFile`` that does not seek after each block; a seek fails if the length is unknown."""
    import soundfile

    class InOrder(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False

    return InOrder


def _reason(error: soundfile.SoundFileError) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _is_cut_short(log: str) -> bool:
    """Whether libsndfile's log of opening a file reports a header that declares more audio than the file has."""
    sizes = re.search(r"^ ?(?:data|SSND) *: *(\d+) \(should be (\d+)\)", log, re.MULTILINE)
    return bool(sizes and int(sizes[2]) < int(sizes[1]) < STREAMED)
