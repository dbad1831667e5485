"""Formats that libsndfile does not support (M4A, AAC, WebM, FLAC in Ogg ...), read by ffmpeg's libraries through PyAV.

PyAV is optional (the extra ``av``). Its decoders, and therefore the samples, are those of the program ffmpeg: the delay
of AAC and Opus encoders is removed as the container declares it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from spooftrace.audio.non_audio import HEAD_BYTES, describe_non_audio
from spooftrace.audio.sources import FETCH
from spooftrace.common.errors import InputError
from spooftrace.common.install import pip_install

if TYPE_CHECKING:
    import av

# Demuxers that read a single file. A playlist (hls, concat, image2 ...) could name any file or address.
DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,rm,tak,tta,voc,w64,wav,wv,xwma"
)
WITH_LENGTH = {"mov", "mp4", "matroska", "webm"}  # containers that declare the length
LENGTH_TOLERANCE = 0.5  # seconds
# Offset, bytes at this offset, description of the format.
KNOWN = (
    (4, b"ftyp", "an MP4 or M4A file"),
    (0, b"\x1a\x45\xdf\xa3", "a WebM or Matroska file"),
    (0, b"OggS", "an Ogg file with another coding than Vorbis or Opus"),
    (0, b"\xff\xf1", "an AAC file"),
    (0, b"\xff\xf9", "an AAC file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"\x30\x26\xb2\x75", "a WMA file"),
    (0, b"FLV", "a Flash video"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"MAC ", "a Monkey's Audio file"),
    (0, b"TTA", "a True Audio file"),
    (0, b"MPCK", "a Musepack file"),
    (0, b"\x0b\x77", "an AC-3 file"),
    (0, b"RIFF", "a RIFF file that is damaged or has a coding of its own"),
)


def open_with_pyav(file: BinaryIO, name: str, reason: str) -> PyAVFile:
    """Open a file that libsndfile does not read.

    Args:
        file: The open file.
        name: Name of the file in messages.
        reason: Error message of libsndfile.

    Raises:
        InputError: It is not audio, or damaged, or PyAV is not installed.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    called = next((words for offset, magic, words in KNOWN if head[offset:].startswith(magic)), None)
    if called is None and (other := describe_non_audio(head)):
        raise InputError(f"{name}: {other}")
    if name.lower().endswith(".raw") and called is None:
        raise InputError(
            f"{name}: has no header that says its rate and coding; write it as WAV, e.g. "
            "sox -r 16000 -e signed -b 16 -c 1 IN.raw OUT.wav"
        )
    try:
        import av
    except ImportError:
        install = f"install spooftrace[av]: {pip_install('av')}"
        if called:
            raise InputError(f"{name}: {called}, not readable by libsndfile ({reason}); {install}") from None
        hint = f"or, if a player plays it, {install}"
        raise InputError(f"{name}: damaged, cut short or not audio ({reason}); {FETCH} {hint}") from None
    try:
        return PyAVFile(file, name)
    except av.FFmpegError as error:
        reason = f"{reason}; ffmpeg: {error.strerror or error}"
        raise InputError(f"{name}: damaged, cut short or not audio ({reason}); {FETCH}") from None


class PyAVFile:
    """The best audio stream of an open file, a ``spooftrace.audio.decoding.Recording``."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name, self._file = name, file
        with self._container() as container:
            stream = self._stream(container)
            frame = next(iter(container.decode(stream)), None)
            if frame is None:
                raise InputError(f"{name}: has no samples; {FETCH} or leave it out")
            self.rate, self.channels = frame.sample_rate, frame.layout.nb_channels
            self.kind = f"{container.format.name.split(',')[0].upper()}/{stream.codec_context.name.upper()}"
            self.seconds = self._announced(container, stream)
        self.frames: int | None = None
        self.lossy = True

    def __enter__(self) -> PyAVFile:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[np.ndarray]:
        """As ``Recording.blocks``."""
        import av

        place = 0
        try:
            with self._container() as container:
                for frame in container.decode(self._stream(container)):
                    if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.channels):
                        raise InputError(
                            f"{self.name}: its rate or number of channels changes on the way; cut it into several files"
                        )
                    block = _samples(frame)
                    begin, place = place, place + len(block)
                    wanted = block[max(first - begin, 0) : None if last is None else max(last - begin, 0)]
                    if len(wanted):
                        yield wanted
                    if last is not None and place >= last:
                        return
        except av.FFmpegError as error:
            reason = f"ffmpeg: {error.strerror or error}"
            raise InputError(f"{self.name}: damaged or cut short ({reason}); {FETCH}") from None
        if last is not None or place / self.rate < self.seconds - LENGTH_TOLERANCE:
            total = f"{last:,} samples" if last is not None else f"{self.seconds:.3f} s"
            raise InputError(f"{self.name}: ends after {place / self.rate:.3f} s of {total}, cut short; {FETCH}")

    def _container(self) -> av.container.InputContainer:
        import av

        self._file.seek(0)
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": ""}
        return av.open(self._file, options=options, metadata_errors="replace")

    def _stream(self, container: av.container.InputContainer) -> av.AudioStream:
        stream = container.streams.best("audio")
        if stream is None:
            raise InputError(
                f"{self.name}: damaged or not audio (ffmpeg finds no sound in it); {FETCH} or leave it out"
            )
        return stream

    @staticmethod
    def _announced(container: av.container.InputContainer, stream: av.AudioStream) -> float:
        """Return the seconds that the container declares; 0 if it does not."""
        if not WITH_LENGTH & set(container.format.name.split(",")):
            return 0.0
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        return container.duration / 1e6 if container.duration and not container.streams.video else 0.0


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """Return the samples of a frame, float32 (N, C), full scale = 1."""
    array = frame.to_ndarray()
    planar = frame.format.is_planar
    array = array.T if planar else array.reshape(-1, frame.layout.nb_channels)  # -> (N, C)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128) / 128
    return array.astype(np.float32) / np.float32(2 ** (8 * array.dtype.itemsize - 1))
