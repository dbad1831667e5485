"""The number of samples of a FLAC file (RFC 9639); the number in the header may be 0 (unknown) or wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from spooftrace.audio.spliced import Piece

SYNC = re.compile(rb"\xff[\xf8\xf9]")
TAIL = 1 << 16  # bytes at the end that contain the start of the last frame, if the header has no frame size
BLOCK_SIZES = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}, **{n: 256 << n - 8 for n in range(8, 16)}}


@dataclass(frozen=True)
class Header:
    """The number of samples in the header of a FLAC file.

    Attributes:
        declared: Samples; 0 if unknown.
        confirmed: Whether the last frame ends with that sample.
        pieces: The file with the number 0, for which a decoder continues to the end.
    """

    declared: int
    confirmed: bool
    pieces: tuple[Piece, ...]


def read_header(file: BinaryIO, start: int, size: int) -> Header | None:
    """Read the header of the FLAC stream at ``start``; returns None if there is no FLAC stream."""
    file.seek(start)
    head = file.read(42)
    if head[:4] != b"fLaC" or len(head) < 42 or head[4] & 0x7F:
        return None
    declared = (head[21] & 0x0F) << 32 | int.from_bytes(head[22:26], "big")
    block, largest = int.from_bytes(head[8:10], "big"), int.from_bytes(head[15:18], "big")
    file.seek(max(size - 128, 0))
    end = size - 128 if file.read(3) == b"TAG" else size  # ID3v1
    tail = max(start + 42, end - (largest + 64 if largest else TAIL))
    file.seek(tail)
    last = _last_samples(file.read(end - tail), block)
    pieces: tuple[Piece, ...] = ((start, 21), bytes([head[21] & 0xF0]) + bytes(4), (start + 26, end - start - 26))
    return Header(declared, declared > 0 and declared in last, pieces)


def _last_samples(tail: bytes, block: int) -> set[int]:
    """Return, for each frame header, the number of samples up to the end of its frame."""
    return {end for match in SYNC.finditer(tail) if (end := _end_of_frame(tail, match.start(), block)) is not None}


def _end_of_frame(data: bytes, place: int, block: int) -> int | None:
    head = data[place : place + 16]
    if len(head) < 6:
        return None
    code, variable = head[2] >> 4, head[1] & 1
    # The frame number is coded as in UTF-8: the leading one bits of the first byte give the number of bytes.
    length = 8 - (head[4] ^ 0xFF).bit_length()
    if code == 0 or head[2] & 0x0F == 15 or length == 1 or length > 7:
        return None
    number = head[4] & (0x7F >> length if length else 0x7F)
    for byte in head[5 : 4 + max(length, 1)]:
        number = number << 6 | byte & 0x3F
    after = 4 + max(length, 1)
    extra = {6: 1, 7: 2}.get(code, 0)
    samples = int.from_bytes(head[after : after + extra], "big") + 1 if extra else BLOCK_SIZES[code]
    after += extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 0x0F, 0)
    if after >= len(head) or _crc8(head[:after]) != head[after]:
        return None
    return (number if variable else number * block) + samples


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value
