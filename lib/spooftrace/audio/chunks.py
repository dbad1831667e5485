"""Containers that are a list of chunks (RIFF, RIFX, RF64, BW64, W64, AIFF, CAF) or a header and samples (AU, NIST).

Each says how many bytes of audio it has, and the number is wrong in recordings whose writer died (0, or the last
count that was saved), in files above 4 GiB (the number has wrapped), and in files that were cut.
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

# Programs that write to a pipe do not know the length and declare about the largest number that fits.
STREAMED = 0x7FFFF000
STREAMED_64 = 1 << 62  # the same where sizes have 64 bits
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of the identifiers of its chunks
MPEG_CODINGS = (b"\x50\0", b"\x55\0")  # layer I and II, layer III
TRAILERS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"_PMX", b"cue ", b"smpl", b"fact", b"JUNK", b"FLLR", b"PEAK")
# Chunks in front of the audio that make libsndfile refuse a file, or read a few samples less, where they are shorter.
SHORTEST = {b"fact": 4, b"smpl": 36, b"acid": 24, b"PEAK": 16}
MOST_32_BIT = 0xFFFFFF00
MOST_PADDING = 1 << 16  # zeros behind the last chunk that fill up a sector, not audio
TAGS = (b"TAG", b"ID3", b"APETAGEX")  # of music players, behind all chunks
MOST_TRAILERS = 1 << 16  # bytes at the end in which chunks behind the audio are looked for where no size leads to them


class Family(NamedTuple):
    """How chunks are written.

    Attributes:
        identifier: Its length in bytes.
        size: How the size is written, as a struct format.
        whole: The size counts the header, too.
        unit: The body is filled up to a multiple of so many bytes.
    """

    identifier: int
    size: str
    whole: bool
    unit: int


class Chunk(NamedTuple):
    """A chunk: its identifier, the offsets of its size field and its body, the body's size, the end with padding."""

    name: bytes
    field: int
    body: int
    size: int
    end: int


@dataclass(frozen=True)
class Audio:
    """Where the audio lies, as the header has it and as the file has it.

    Attributes:
        start: Offset of the first byte of audio.
        declared: Bytes of audio by the header; None if it leaves that open.
        available: Bytes of audio that are there.
        pieces: The file with the right number in its header; empty if the header is right.
        mpeg: The audio is an MPEG stream.
        fault: Why the file cannot be read without a guess; "" if it can.
    """

    start: int
    declared: int | None
    available: int
    pieces: tuple[Piece, ...] = ()
    mpeg: bool = False
    fault: str = ""


def find_audio(file: BinaryIO, size: int) -> Audio | None:
    """The audio of a file of ``size`` bytes; None if it is no such container, or one without audio.

    What lies behind the declared audio counts as audio unless it is a list of chunks, a tag, or a sector filled up.
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
                if audio.available > MOST_32_BIT or short:
                    audio = replace(audio, pieces=_as_rf64(layout, audio))
                return replace(audio, mpeg=_at(file, layout.body, 2) in MPEG_CODINGS)
            return audio
    return None


def _fault(file: BinaryIO, family: Family, layout: Chunk | None, chunk: Chunk, behind: Iterator[Chunk]) -> str:
    """Why the audio in ``chunk`` is not all that there is, or has samples of an unknown size; "" without a reason."""
    # What lies behind a wrong size is audio, in which no size leads to a chunk.
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
    """SPHERE, the format of the LDC: a text of ``name -type value`` lines; what is compressed has another size."""
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
    """The chunks from a place on, as far as their sizes lead to one another."""
    header = family.identifier + struct.calcsize(family.size)
    while place + header <= size:
        part = _at(file, place, header)
        (declared,) = struct.unpack_from(family.size, part, family.identifier)
        length = declared - header if family.whole else declared
        body = place + header
        if length < 0:  # nothing says where the next one begins
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
    """The file with the size of its audio in the header, and RF64 for BW64, which has the same layout."""
    header = chunk.body - chunk.field if family.whole else 0
    value = available + header + (family.identifier if family.whole else 0)
    if family.size[1] == "I":  # more than fits: libsndfile then goes by the size of the file
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
    """Coding and audio of a WAV file as RF64 (EBU Tech 3306), whose sizes have 64 bits, without any other chunk."""
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<IQQQI", 28, 0, audio.available, 0, 0)
    parts = (layout.field - 4, 8 + layout.size + layout.size % 2)
    return (head, parts, b"data\xff\xff\xff\xff", (audio.start, audio.available))


def _is_trailer(file: BinaryIO, end: int, size: int, family: Family) -> bool:
    """Whether what lies from ``end`` on is what may follow the audio."""
    if size - end < 8:  # no room for a chunk
        return True
    if size - end <= MOST_PADDING and not any(_at(file, end, size - end)):
        return end > size // 2
    for start in range(end, end + family.unit):  # not all programs fill up the audio
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
    """Where chunks begin that end the file, though no size leads to them; the end of the file without any."""
    base = max(start, size - MOST_TRAILERS)
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
