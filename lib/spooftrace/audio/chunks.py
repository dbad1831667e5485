"""Location of the audio in containers of chunks (RIFF, RIFX, RF64, BW64, W64, AIFF, CAF) and in AU and NIST files.

Their headers declare the number of bytes of audio. The number is wrong if the recording program was killed (0, or the
last saved count), if the file exceeds 4 GiB (the number has wrapped), or if the file was cut.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import BinaryIO, NamedTuple

from spooftrace.audio.sample_width import aiff_contradiction, wav_contradiction
from spooftrace.audio.spliced import Piece

# Programs that write to a pipe do not know the length. They declare about the largest possible number.
STREAMED = 0x7FFFF000
STREAMED_64 = 1 << 62  # for sizes of 64 bits
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of the identifiers of its chunks
MPEG_CODINGS = (b"\x50\0", b"\x55\0")  # layer I and II, layer III
TRAILERS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"_PMX", b"cue ", b"smpl", b"fact", b"JUNK", b"FLLR", b"PEAK")
# If these chunks are shorter and precede the audio, libsndfile refuses the file or reads a few samples less.
SHORTEST = {b"fact": 4, b"smpl": 36, b"acid": 24, b"PEAK": 16}
MAX_32_BIT = 0xFFFFFF00
MAX_PADDING = 1 << 16  # bytes of zeros behind the last chunk that count as padding of a sector, not as audio
TAGS = (b"TAG", b"ID3", b"APETAGEX")  # written by music players behind all chunks
MAX_TRAILERS = 1 << 16  # bytes at the end to search for chunks behind audio of unknown size


class Family(NamedTuple):
    """The layout of chunks.

    Attributes:
        identifier: Length of the identifier in bytes.
        size: Struct format of the size field.
        whole: Whether the size includes the header.
        unit: The body is padded to a multiple of this number of bytes.
    """

    identifier: int
    size: str
    whole: bool
    unit: int


class Chunk(NamedTuple):
    """A chunk: identifier, offsets of the size field and the body, size of the body, end including padding."""

    name: bytes
    field: int
    body: int
    size: int
    end: int


@dataclass(frozen=True)
class Audio:
    """The location of the audio by the header and in the file.

    Attributes:
        start: Offset of the first byte of audio.
        declared: Bytes of audio by the header; None if the header does not say.
        available: Bytes of audio in the file.
        pieces: The file with a corrected header; empty if the header is correct.
        mpeg: Whether the audio is an MPEG stream.
        fault: Why the audio is ambiguous; "" if it is not.
    """

    start: int
    declared: int | None
    available: int
    pieces: tuple[Piece, ...] = ()
    mpeg: bool = False
    fault: str = ""


def find_audio(file: BinaryIO, size: int) -> Audio | None:
    """Locate the audio of a file of ``size`` bytes; returns None if it is no such container or has no audio.

    Bytes behind the declared audio count as audio unless they are a list of chunks, a tag, or padding.
    """
    head = _at(file, 0, 40)
    if head[:4] in (b".snd", b"dns.") and len(head) >= 24:
        return _au(head, size)
    if head[:7] == b"NIST_1A":
        return _nist(_at(file, 0, 1024), size)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        family, first = Family(4, "<I", False, 2), 12
    elif (head[:4], head[8:12]) in ((b"RIFX", b"WAVE"), (b"FORM", b"AIFF"), (b"FORM", b"AIFC")):
        family, first = Family(4, ">I", False, 2), 12
    elif head[:16] == W64_RIFF:
        family, first = Family(16, "<Q", True, 8), 40
    elif head[:4] == b"caff":
        family, first = Family(4, ">q", False, 1), 8
    else:
        return None
    long_size: Chunk | None = None
    layout: Chunk | None = None
    short = False
    chunks = _chunks(file, first, size, family)
    for chunk in chunks:
        if chunk.name == b"ds64" and head[:4] in (b"RF64", b"BW64"):
            long_size = chunk
        if chunk.name[:4] in (b"fmt ", b"COMM"):
            layout = chunk
        if chunk.name == b"LIST" and _at(file, chunk.body, 4) == b"wavl":
            return Audio(chunk.body, None, chunk.size, fault="its audio is in pieces (a list of the kind 'wavl')")
        short |= chunk.size < SHORTEST.get(chunk.name, 0)
        if chunk.name[:4] in (b"data", b"SSND"):
            audio = _audio(file, size, family, chunk, long_size, head)
            audio = replace(audio, fault=_fault(file, family, layout, chunk, chunks))
            if head[:4] == b"RIFF" and layout is not None:
                if audio.available > MAX_32_BIT or short:
                    audio = replace(audio, pieces=_as_rf64(layout, audio))
                return replace(audio, mpeg=_at(file, layout.body, 2) in MPEG_CODINGS)
            return audio
    return None


def _fault(file: BinaryIO, family: Family, layout: Chunk | None, chunk: Chunk, behind: Iterator[Chunk]) -> str:
    """Describe why the audio in ``chunk`` is incomplete or its sample size ambiguous; returns "" if neither holds."""
    # Behind a wrong size there is audio, which is not a list of chunks.
    named = takewhile(lambda other: all(32 <= byte < 127 for byte in other.name[:4]), behind)
    if any(other.name == chunk.name for other in named):
        return f"has several chunks of audio ('{chunk.name[:4].decode()}'), of which programs read different ones"
    if layout is None:
        return ""
    body = _at(file, layout.body, min(layout.size, 40))
    if layout.name == b"COMM":
        return aiff_contradiction(body, chunk.size - 8)
    return wav_contradiction(body, family.size[0])


def _au(head: bytes, size: int) -> Audio | None:
    order = ">" if head[:4] == b".snd" else "<"
    start, declared = struct.unpack_from(f"{order}II", head, 4)
    if start > size:
        return None
    if declared >= STREAMED:
        return Audio(start, None, size - start)
    pieces: tuple[Piece, ...] = ()
    if declared < size - start:
        pieces = ((0, 8), struct.pack(f"{order}I", min(size - start, 0xFFFFFFFF)), (12, size - 12))
    return Audio(start, declared, size - start, pieces)


def _nist(head: bytes, size: int) -> Audio | None:
    """Locate the audio of a SPHERE file (LDC), whose header has ``name -type value`` lines; None if compressed."""
    fields = {line.split()[0]: line.split()[-1] for line in head.split(b"\n") if len(line.split()) == 3}
    try:
        start = int(head.split(b"\n")[1])
        width = int(fields[b"sample_n_bytes"]) * int(fields.get(b"channel_count", 1))
        declared = int(fields[b"sample_count"]) * width
    except (IndexError, KeyError, ValueError):
        return None
    if b"," in fields.get(b"sample_coding", b"") or start > size:
        return None
    return Audio(start, declared, size - start)  # libsndfile goes by the size of the file


def _chunks(file: BinaryIO, place: int, size: int, family: Family) -> Iterator[Chunk]:
    """Yield consecutive chunks from an offset on."""
    header = family.identifier + struct.calcsize(family.size)
    while place + header <= size:
        part = _at(file, place, header)
        (declared,) = struct.unpack_from(family.size, part, family.identifier)
        length = declared - header if family.whole else declared
        body = place + header
        if length < 0:  # the start of the next chunk is unknown
            if part[:4] == b"data":
                yield Chunk(part[: family.identifier], place + family.identifier, body, length, body)
            return
        end = body + length + -length % family.unit
        yield Chunk(part[: family.identifier], place + family.identifier, body, length, end)
        place = end


def _audio(file: BinaryIO, size: int, family: Family, chunk: Chunk, long_size: Chunk | None, head: bytes) -> Audio:
    declared: int | None = chunk.size
    by_long_size = 0
    if long_size is not None:
        (by_long_size,) = struct.unpack("<Q", _at(file, long_size.body + 8, 8).ljust(8, b"\0"))
    if long_size is not None and chunk.size == 0xFFFFFFFF:
        declared = by_long_size if by_long_size < STREAMED_64 else None
    elif not 0 <= chunk.size < (STREAMED if family.size[1] == "I" else STREAMED_64):
        declared = 0 if family.whole and chunk.size < 0 else None
    else:
        declared = chunk.size
    available = max(size - chunk.body, 0)
    if declared is not None and declared <= available and _is_trailer(file, chunk.body + declared, size, family):
        available = declared
    elif declared is None or declared < available:
        available = _trailers(file, chunk.body + (declared or 0), size, family) - chunk.body
    pieces: tuple[Piece, ...] = ()
    wrong = declared is None or declared < available or (long_size is not None and by_long_size != available)
    if wrong or head[:4] == b"BW64":
        pieces = _with_size(file, size, family, chunk, long_size, available)
    return Audio(chunk.body, declared, available, pieces)


def _with_size(
    file: BinaryIO, size: int, family: Family, chunk: Chunk, long_size: Chunk | None, available: int
) -> tuple[Piece, ...]:
    """Return the file with the true size of its audio in the header, and with RF64 for BW64 (the same layout)."""
    header = chunk.body - chunk.field if family.whole else 0
    value = available + header + (family.identifier if family.whole else 0)
    if family.size[1] == "I":  # for the largest number libsndfile uses the size of the file
        value = min(value, 0xFFFFFFFF)
    patches = {chunk.field: struct.pack(family.size, value)}
    if long_size is not None:
        patches = {chunk.field: b"\xff" * 4, long_size.body + 8: struct.pack("<QQ", available, 0)}
    if _at(file, 0, 4) == b"BW64":
        patches[0] = b"RF64"
    pieces: list[Piece] = []
    place = 0
    for offset, content in sorted(patches.items()):
        pieces += [(place, offset - place), content]
        place = offset + len(content)
    return (*pieces, (place, size - place))


def _as_rf64(layout: Chunk, audio: Audio) -> tuple[Piece, ...]:
    """Return a WAV file as RF64 (EBU Tech 3306), whose sizes have 64 bits, with its format and audio chunks only."""
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, 0, audio.available, 0, 0)
    layout_chunk = (layout.field - 4, 8 + layout.size + layout.size % 2)
    return (head, layout_chunk, b"data\xff\xff\xff\xff", (audio.start, audio.available))


def _is_trailer(file: BinaryIO, end: int, size: int, family: Family) -> bool:
    """Whether chunks, a tag or padding, and no audio, follow from ``end`` on."""
    if size - end < 8:  # too short for a chunk
        return True
    if size - end <= MAX_PADDING and not any(_at(file, end, size - end)):
        return end > size // 2
    for start in range(end, end + family.unit):  # not all programs pad the audio
        if _at(file, start, 8).startswith(TAGS):
            return True
        last = start
        for chunk in _chunks(file, start, size, family):
            name = chunk.name[:4]
            if not all(32 <= byte < 127 for byte in name) or (family.whole and chunk.name[4:] != W64_TAIL):
                break
            if chunk.end > size + 1 and name not in TRAILERS:
                break
            last = chunk.end
        if last > start and last >= size - 1:
            return True
        if last > start and _at(file, last, 8).startswith(TAGS):
            return True
    return False


def _trailers(file: BinaryIO, start: int, size: int, family: Family) -> int:
    """Return the offset of the chunks at the end of the file, found by their names; ``size`` without such chunks."""
    base = max(start, size - MAX_TRAILERS)
    tail = _at(file, base, size - base)
    places = (match.start() for match in re.finditer(b"|".join(map(re.escape, TRAILERS)), tail))
    for place in places:
        last = base + place
        for chunk in _chunks(file, last, size, family):
            if chunk.name[:4] not in TRAILERS:
                break
            last = chunk.end
        if size <= last <= size + 1:
            return base + place
    return size


def _at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)
